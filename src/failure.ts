/**
 * A failure that ends a job, or one of its attempts. The code that notices the problem names the reason and gives
 * in `detail` what a person needs to know; the consequences of a reason (status, refund, retry, the
 * sentence that the user reads) are the one table in `pipeline/endings.ts`.
 */
export const reasons = [
  'bad-request', // the document itself: a missing field, an option beyond the recipe's limits
  'unknown-model', // no such base model or offering
  'bad-dataset', // missing, empty, not shared, broken images
  'cannot-pay', // the balance doesn't cover the charge
  'foreign-plan', // planned by another release, and not readable by this one
  'over-budget', // the job's own cap
  'budget-used-up', // the day's or the month's budget, for all jobs
  'misconfigured', // a base, an image or a setting is missing or wrong: the operator must fix it
  'too-many-failures', // of one account, by jobs that cost machines
  'no-capacity', // no capacity
  'machine-lost', // gone without notice: spot reclaim, hardware, network
  'machine-broken', // the GPU or the disk of this machine is at fault
  'step-overran', // a wait passed its limit; detail names the phase
  'trainer-refused', // exit 64: the trainer blames its input
  'trainer-diverged', // the loss became NaN
  'out-of-memory', // the container or the GPU
  'disk-full',
  'trainer-crashed',
  'trainer-hung', // no progress for too long
  'bad-artifact', // the output is not a usable LoRA
  'image-refused', // the registry lacks the trainer image or denies access: the operator must fix it
  'registry-failed', // the trainer image's registry did not answer, or its rate limit is reached
  'store-failed', // R2 refused for longer than the retries last
  'comfyui-failed', // it did not accept a model for longer than is worth waiting
  'internal', // anything unclassified
] as const

export type Reason = (typeof reasons)[number]

/** What a refusal says about other offers than the requested one: all under the same quota, or a type in its zone. */
export type Excludes = 'quota' | 'type-in-zone'

export type FailureContext = {
  /** Last lines of the log, kernel messages and the like, for the operator. */
  readonly evidence?: string
  readonly cause?: unknown
  /** Of `no-capacity`: what else is not worth trying at present. Default: that offer alone. */
  readonly excludes?: Excludes | undefined
}

export class Failure extends Error {
  readonly reason: Reason
  readonly evidence: string | undefined
  readonly excludes: Excludes | undefined

  /** `detail` is a phrase or sentence that may be shown to the job's owner. */
  constructor(reason: Reason, detail: string, context: FailureContext = {}) {
    super(detail, { cause: context.cause })
    this.name = 'Failure'
    this.reason = reason
    this.evidence = context.evidence
    this.excludes = context.excludes
  }
}
