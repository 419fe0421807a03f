/**
 * A failure that ends a job, or an attempt of it. Whoever notices the trouble names the reason and says
 * in `detail` what a person needs to know; what follows from a reason (status, refund, retry, the
 * sentence that the user reads) is the one table in `pipeline/endings.ts`.
 */
export const reasons = [
  'bad-request', // the document itself: a missing field, a wish beyond the recipe's limits
  'unknown-model', // no such base model or offering
  'bad-dataset', // missing, empty, not shared, broken images
  'cannot-pay', // the balance doesn't cover the charge
  'foreign-plan', // made by another release, and not readable by this one
  'over-budget', // the job's own cap
  'budget-used-up', // the day's or the month's budget, for all jobs
  'misconfigured', // a base, an image or a setting is missing or wrong: the operator's to mend
  'too-many-failures', // of one account, by jobs that cost machines
  'no-capacity', // no offer could be had
  'machine-lost', // gone without notice: spot reclaim, hardware, network
  'machine-broken', // the GPU or the disk of this machine is at fault
  'step-overran', // a wait passed its limit; detail names the phase
  'trainer-refused', // exit 64: the trainer says that the input is at fault
  'trainer-diverged', // the loss became NaN
  'out-of-memory', // the container or the GPU
  'disk-full',
  'trainer-crashed',
  'trainer-hung', // no progress for too long
  'bad-artifact', // what came out is not a usable LoRA
  'image-refused', // the registry has no such trainer image, or does not hand it out: the operator's to mend
  'registry-failed', // the registry of trainer images did not answer, or lets no more be pulled for now
  'store-failed', // R2 refused for longer than the retries last
  'comfyui-failed', // it could not be given a model, for longer than anybody should wait
  'internal', // everything that nobody classified
] as const

export type Reason = (typeof reasons)[number]

/** What a refusal says of more offers than the one that was asked for: all that count against a quota, or a type in its zone. */
export type Excludes = 'quota' | 'type-in-zone'

export type FailureContext = {
  /** Last lines of the log, kernel messages and the like, for the operator. */
  readonly evidence?: string
  readonly cause?: unknown
  /** Of `no-capacity`: what need not be tried at present either. Default: that offer alone. */
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
