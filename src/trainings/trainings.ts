/**
 * The existing `trainingJobs` collection, in our words. Its fields are given (`docs/architecture.md`)
 * and none is added: leases, attempts and costs are in runs.ts. Every write but the claim is a no-op
 * unless the document is still `RUNNING`, so that a user's `CANCELLED` wins.
 */
export type TrainingStatus = 'QUEUED' | 'RUNNING' | 'COMPLETED' | 'FAILED' | 'CANCELLED'

/** As found: values are of the documented type, or `undefined`; `problems` says which were not. */
export type Training = {
  readonly id: string
  readonly status: TrainingStatus
  readonly ownerAccountId: string | undefined
  readonly datasetId: string | undefined
  readonly offeringId: string | undefined
  readonly baseModel: string | undefined
  readonly modelName: string | undefined
  readonly triggerWord: string | undefined
  readonly steps: number | undefined
  readonly createdAt: Date
  readonly costPoints: number | undefined
  /** Sentences such as `datasetId is the text "abc", not an ObjectId`. */
  readonly problems: readonly string[]
  /** The document's other plain fields, for wishes such as rank, learningRate, seed, resolution. */
  readonly wishes: Readonly<Record<string, unknown>>
}

export type ClaimLimits = {
  /** Jobs that may be RUNNING at once, over all workers. */
  readonly running: number
  /** Jobs of one account that may be RUNNING at once. */
  readonly runningPerOwner: number
}

export type Progress = {
  /** 0–100. */
  readonly progress: number
  readonly step: number
  readonly totalSteps: number
  readonly loss: number | undefined
}

export type TrainingResult = {
  readonly modelId: string
  readonly modelRepoUrl: string
  readonly triggerWords: readonly string[]
  readonly previewImages: readonly string[]
}

export interface Trainings {
  /** Turns the oldest QUEUED document within the limits to RUNNING and returns it; undefined if none. */
  claim(limits: ClaimLimits): Promise<Training | undefined>
  read(id: string): Promise<Training | undefined>
  /** RUNNING trainings without a run: whoever claimed them died at once. Oldest first. */
  orphans(limit: number): Promise<readonly string[]>
  recordCharge(id: string, points: number, at: Date): Promise<void>
  recordProgress(id: string, progress: Progress): Promise<void>
  /** `remark`: for the owner to read, where not all that was ordered could be delivered; else empty. */
  complete(id: string, result: TrainingResult, remark: string): Promise<void>
  fail(id: string, sentence: string): Promise<void>
  /** Gives the place under the limits back; safe to repeat. Called when a job has ended. */
  freePlace(id: string): Promise<void>
  counts(): Promise<Readonly<Record<TrainingStatus, number>>>
}
