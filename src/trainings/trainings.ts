/**
 * The existing `trainingJobs` collection, in our words. Its fields are given (`docs/architecture.md`)
 * and none is added: leases, attempts and costs are in runs.ts. A document belongs to people: any field may change or
 * vanish at any time. Every write but the claim is a no-op unless the document is still `RUNNING`, so that a user's
 * `CANCELLED` wins; `explain` and `deliver` tell the owner of a job that was ended from outside, and leave its status.
 *
 * What was claimed here has a slot under the limits. `RUNNING` alone is no evidence of that: another system, or a
 * person, may have written it.
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
  /** The document's other plain fields, for overrides such as rank, learningRate, seed, resolution. */
  readonly overrides: Readonly<Record<string, unknown>>
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

/** What a document gets back that was set to RUNNING, or queued again, after a model was made of it or its end was written. */
export type Restored = {
  readonly status: 'COMPLETED' | 'FAILED' | 'CANCELLED'
  readonly remark: string
  readonly endedAt: Date
  readonly result: TrainingResult | undefined
}

/** Documents that no claim ever takes: an `_id` that is neither an ObjectId nor a text, or a status that is no known word. */
export type NotUnderstood = {
  readonly count: number /** Sentences on some of them. */
  readonly examples: readonly string[]
}

export type Pause = { readonly since: Date /** Who, or why. */; readonly by: string }

export interface Trainings {
  /**
   * Turns the oldest QUEUED document within the limits to RUNNING and returns it; undefined if there is none, or claiming
   * is paused. `except`: ids that are left in the queue.
   */
  claim(limits: ClaimLimits, except?: readonly string[]): Promise<Training | undefined>
  read(id: string): Promise<Training | undefined>
  /** The status of each of those that exist. */
  statuses(ids: readonly string[]): Promise<ReadonlyMap<string, TrainingStatus>>
  /** RUNNING trainings that were claimed here and that no live lease holds: their worker died right after the claim. */
  orphans(limit: number): Promise<readonly string[]>
  /** RUNNING documents without a slot: no worker here has claimed them. Oldest first. */
  strangers(limit: number): Promise<readonly string[]>
  notUnderstood(): Promise<NotUnderstood>
  /** Stops and goes on claiming, for every worker of this deployment. */
  pause(by: string): Promise<void>
  resume(): Promise<void>
  paused(): Promise<Pause | undefined>
  recordCharge(id: string, points: number, at: Date): Promise<void>
  recordProgress(id: string, progress: Progress): Promise<void>
  /** `remark`: for the owner to read, where not all that was ordered could be delivered; else empty. */
  complete(id: string, result: TrainingResult, remark: string): Promise<void>
  fail(id: string, sentence: string): Promise<void>
  /** Gives a RUNNING document the ending back that its training had. */
  restore(id: string, restored: Restored): Promise<void>
  /** Says what became of a job that was ended from outside, unless something is said there already. */
  explain(id: string, sentence: string): Promise<void>
  /** The model of a job that was ended from outside after its last step, unless the document has it. */
  deliver(id: string, result: TrainingResult, remark: string): Promise<void>
  /**
   * Gives the slot under the limits back, of a job that has ended or waits. A document that is RUNNING is in the queue
   * again: without a slot it would never be claimed. Safe to repeat.
   */
  releaseSlot(id: string): Promise<void>
  counts(): Promise<Readonly<Record<TrainingStatus, number>>>
}
