/**
 * The timeline of a training: collection `trainingEvents`, numbered from 1 without gaps, append-only.
 * It tells the whole story afterwards, so it also holds what went wrong on the way.
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
  append(event: NewTimelineEvent): Promise<TimelineEvent>
  read(trainingId: string, afterNumber?: number): Promise<readonly TimelineEvent[]>
}
