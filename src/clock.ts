/** Time, as what waits and dates things sees it. */

export type Clock = {
  now(): Date
  /** Rejects with the signal's reason when it aborts. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>
}
