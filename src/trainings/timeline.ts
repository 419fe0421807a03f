/**
 * The timeline of a training: collection `trainingEvents`, numbered from 1 without gaps, append-only.
 * It tells the whole story afterwards, so it also holds what went wrong on the way.
 *
 * An event is written into its run first (`Runs.change`), under the lease and together with the change
 * that it tells of, which gives it its number and its time; then it is copied here. The next worker to take the run
 * up copies the last one again, so no event is lost, and none comes from a worker that lost its lease.
 */
export type TimelineEvent = {
  readonly trainingId: string
  readonly number: number
  readonly at: Date
  /** Which worker wrote it, under which lease token. */
  readonly worker: string
  readonly token: number
  /** `phase`, `attempt`, `step`, `checkpoint`, `warning`, `failure`, `alert`, `outcome` … */
  readonly kind: string
  readonly message: string
  readonly data?: Readonly<Record<string, unknown>>
}

export type NewTimelineEvent = Omit<TimelineEvent, 'number' | 'at'>

export interface Timeline {
  /** One with its number is there already: left as it is. */
  append(event: TimelineEvent): Promise<void>
  read(trainingId: string, afterNumber?: number): Promise<readonly TimelineEvent[]>
}
