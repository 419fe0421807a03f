/** Which workers there are: each says again and again that it lives, and removes itself when it stops. */
export type WorkerPresence = {
  /** As leases name it. */
  readonly name: string
  /** By the worker's own clock. */
  readonly startedAt: Date
  readonly seenAt: Date
  /** Since it was last seen. Like `seenAt`, by the database's clock. */
  readonly silentMs: number
}

export interface Workers {
  /** It lives. Returns how long it had been silent, in milliseconds; 0 if it was unknown. */
  heartbeat(worker: Pick<WorkerPresence, 'name' | 'startedAt'>): Promise<number>
  /** It stops on purpose, and must not be reported missing. */
  leave(name: string): Promise<void>
  /** By name. */
  all(): Promise<readonly WorkerPresence[]>
  /** Removes one that will not come back, unless it has been seen since. */
  forget(worker: WorkerPresence): Promise<void>
}
