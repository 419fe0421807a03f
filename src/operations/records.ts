/**
 * What the database keeps of a training beside the ledger, for those who remove it: a person's request to be forgotten
 * (forget.ts), and time (retention.ts). The ledger's rows and the sums of money in a run are accounting: they stay.
 */
import type { Lease } from '../trainings/runs.ts'

/** One kind of record of one training. */
export type Trace = {
  /** In the plural, such as `events`. */
  readonly name: string
  count(): Promise<number>
  remove(): Promise<void>
}

export type Kept = 'events' | 'evidence' | 'leftovers'

export interface Records {
  /** Trainings whose document or run names that account as the owner, in order of their ids. */
  trainingsOf(accountId: string): Promise<readonly string[]>
  /** The status in the training's document; undefined where there is no document. */
  statusOf(trainingId: string): Promise<string | undefined>
  tracesOf(trainingId: string): readonly Trace[]
  /** What names an account elsewhere: alerts, and the runs of others who have trained on its datasets. */
  tracesOfAccount(accountId: string): readonly Trace[]
  /** Leaves of a run only its numbers: times, machines, costs, points. Throws LeaseLost. */
  scrubRun(lease: Lease): Promise<void>

  /** Runs that ended before then and still have that, longest ago first. */
  expired(kept: Kept, before: Date, limit: number): Promise<readonly string[]>
  /** Removes the events and the last one's copy in the run. Throws LeaseLost. */
  removeEvents(lease: Lease): Promise<void>
  /** Removes logs, causes and stacks from events, which stay. Throws LeaseLost. */
  removeEvidence(lease: Lease): Promise<void>
  /** The run has none of that any more; its next run may. Throws LeaseLost. */
  markRemoved(lease: Lease, kept: Kept): Promise<void>
}
