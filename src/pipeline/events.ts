/** What happens to a job, as it happens: feeds the log, the live page, the terminal and the tests. */
import type { Lease, Phase } from '../trainings/runs.ts'
import type { NewTimelineEvent } from '../trainings/timeline.ts'

export type JobEventKind =
  | 'phase' // a phase is done
  | 'attempt' // a machine is ordered, ready, lost, gone
  | 'activity' // what is being done now
  | 'step' // one training step: step, total, loss, secondsPerStep, etaSeconds, costUsd
  | 'sample'
  | 'checkpoint'
  | 'warning'
  | 'failure' // an attempt or the job failed; data has reason and evidence
  | 'held' // it waits in the queue; data has reason and until
  | 'outcome' // how it ended
  | 'released' // this worker let go of it

export type EventData = Readonly<Record<string, unknown>>

/** An event before it is recorded. */
export type Telling = readonly [kind: JobEventKind, message: string, data?: EventData | undefined]

/** As the holder of the lease records it in the timeline. */
export function eventOf(
  { owner: worker, token, trainingId }: Lease,
  [kind, message, data]: Telling,
): NewTimelineEvent {
  return { trainingId, worker, token, kind, message, ...(data && { data }) }
}

export type JobEvent = {
  readonly trainingId: string
  readonly at: Date
  readonly kind: JobEventKind
  readonly phase: Phase
  readonly message: string
  readonly data?: EventData
}
