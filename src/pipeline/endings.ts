/**
 * Every ending of a job is a row here: what status the document gets, how much of the charge goes back,
 * how many more machines the trouble is worth, and the sentence that the owner reads; what became of the
 * points is added to it. A reason without a row does not compile.
 *
 * `refund`: a rule from `refunds`, in whole points.
 * `anotherMachine`: after so many attempts ended for this reason the job ends; 0: at the first.
 * `keepsCheckpoint`: the last one stays in the work bucket; a training that is queued again goes on from it.
 * `resume`: so often is the whole job taken up again from its evidence, without progress in between, before it ends.
 * `hold`: the job waits in the queue instead, and is tried again, for as long as it says; then it ends.
 */
import type { Reason } from '../failure.ts'
import type { Outcome } from '../trainings/runs.ts'

export type EndingName = Outcome['ending']

/** What a refund follows from. Points are whole. */
export type RefundFacts = {
  readonly charged: number
  readonly trainedSteps: number
  readonly plannedSteps: number
  /** What the job's machines have cost, in points, rounded up. */
  readonly spent: number
}

/**
 * `unused`: the charge × (1 − trained steps ÷ planned steps), rounded down; all where no plan says how many.
 * `lessSpent`: all, less what the machines cost: for endings that a job's own overrides, image or owner can cause at will.
 */
const refunds = {
  none: () => 0,
  all: ({ charged }) => charged,
  unused: ({ charged, trainedSteps, plannedSteps }) =>
    Math.floor(charged * (plannedSteps > 0 ? 1 - Math.min(1, trainedSteps / plannedSteps) : 1)),
  lessSpent: ({ charged, spent }) => Math.max(0, charged - spent),
} as const satisfies Record<string, (facts: RefundFacts) => number>

/** In milliseconds: between two tries, and how long a job waits for this in all before it ends; or the setting that says so. */
export type HoldRule = { readonly retryMs: number; readonly atMostMs: number | 'capacityWaitMs' }

export type Ending = {
  readonly status: 'COMPLETED' | 'FAILED' | 'CANCELLED'
  readonly refund: (facts: RefundFacts) => number
  readonly hold?: HoldRule
  readonly anotherMachine: number
  readonly resume: number
  readonly alert: boolean
  readonly keepsCheckpoint: boolean
  sentence(detail: string): string
}

const never = { anotherMachine: 0, resume: 0, alert: false, keepsCheckpoint: false } as const
const failed = { ...never, status: 'FAILED', refund: refunds.all } as const
/** Not the job's fault: another try resumes from where it was. */
const unlucky = { ...failed, keepsCheckpoint: true } as const

const minute = 60_000
const day = 24 * 60 * minute

export const endings: Readonly<Record<EndingName, Ending>> = {
  trained: { ...never, status: 'COMPLETED', refund: refunds.none, sentence: () => '' },
  'trained-in-part': {
    ...never,
    status: 'COMPLETED',
    refund: refunds.unused,
    sentence: (detail) => `The training reached a cost limit: ${detail}.`,
  },
  cancelled: {
    ...never,
    status: 'CANCELLED',
    refund: (facts) => Math.min(refunds.unused(facts), refunds.lessSpent(facts)),
    sentence: () => 'Cancelled by its owner.',
  },
  'bad-request': { ...failed, sentence: (detail) => `This training can't be started: ${detail}.` },
  'unknown-model': { ...failed, sentence: (detail) => `This training can't be started: ${detail}.` },
  'bad-dataset': { ...failed, sentence: (detail) => `The dataset can't be trained on: ${detail}.` },
  'cannot-pay': {
    ...failed,
    sentence: (detail) => `There are not enough points for this training: ${detail}.`,
  },
  'foreign-plan': {
    ...failed,
    alert: true,
    sentence: () =>
      'This training was begun by another version of the service, and can’t be continued. Please start it again.',
  },
  'over-budget': {
    ...unlucky,
    sentence: (detail) => `The training reached a cost limit: ${detail}.`,
  },
  'budget-used-up': {
    ...unlucky,
    hold: { retryMs: 10 * minute, atMostMs: 32 * day },
    sentence: (detail) => `The training waited too long for the budget to allow it: ${detail}.`,
  },
  misconfigured: {
    ...unlucky,
    hold: { retryMs: 10 * minute, atMostMs: day },
    alert: true,
    sentence: () => `This training can't be run at present, for a reason on our side.`,
  },
  'too-many-failures': {
    ...failed,
    hold: { retryMs: 10 * minute, atMostMs: day },
    sentence: (detail) => `Too many trainings of this account have failed: ${detail}.`,
  },
  'no-capacity': {
    ...unlucky,
    anotherMachine: 24, // then the round is over
    hold: { retryMs: 10 * minute, atMostMs: 'capacityWaitMs' },
    sentence: (detail) => `No GPU machine was available (${detail}). Please try again later.`,
  },
  'machine-lost': {
    ...unlucky,
    anotherMachine: 5,
    sentence: (detail) => `The GPU machine was lost too often (${detail}). Please try again.`,
  },
  'machine-broken': {
    ...unlucky,
    anotherMachine: 3,
    sentence: (detail) => `The GPU machines were faulty (${detail}). Please try again.`,
  },
  'step-overran': {
    ...unlucky,
    anotherMachine: 2,
    sentence: (detail) => `The training took too long: ${detail}.`,
  },
  'trainer-refused': {
    ...failed,
    refund: refunds.lessSpent,
    sentence: (detail) => `The training was refused: ${detail}.`,
  },
  'trainer-diverged': {
    ...failed,
    refund: refunds.lessSpent,
    sentence: (detail) => `The training diverged (${detail}). A lower learning rate usually helps.`,
  },
  'out-of-memory': {
    ...failed,
    anotherMachine: 1, // a larger one, from the checkpoint
    refund: refunds.lessSpent,
    sentence: (detail) =>
      `The training ran out of memory (${detail}). A lower resolution or rank needs less.`,
  },
  'disk-full': {
    ...failed,
    anotherMachine: 1,
    alert: true,
    sentence: (detail) => `The machine's disk was full (${detail}).`,
  },
  'trainer-crashed': {
    ...failed,
    anotherMachine: 1,
    sentence: (detail) => `The trainer crashed (${detail}).`,
  },
  'trainer-hung': {
    ...failed,
    anotherMachine: 1,
    sentence: (detail) => `The trainer stopped making progress (${detail}).`,
  },
  'bad-artifact': {
    ...failed,
    alert: true,
    sentence: (detail) => `The trained model was unusable (${detail}).`,
  },
  'image-refused': {
    ...unlucky, // no other machine would be handed it either, and each costs money
    alert: true,
    sentence: () => `This training can't be run at present, for a reason on our side.`,
  },
  'registry-failed': {
    ...unlucky,
    resume: 3,
    alert: true,
    sentence: () => `The trainer image could not be pulled onto the machine. Please try again later.`,
  },
  'store-failed': {
    ...unlucky,
    resume: 3,
    alert: true,
    sentence: () => `The file store did not answer. Please try again later.`,
  },
  'comfyui-failed': {
    ...failed,
    resume: 300, // more than a day, with the claim loop's pauses; no machine waits for it
    alert: true,
    sentence: () => `The model is trained and in the gallery, but ComfyUI did not accept it.`,
  },
  internal: {
    ...unlucky,
    resume: 3,
    alert: true,
    sentence: () => `Something went wrong on our side. Please try again.`,
  },
}

/** Whole points, never more than the charge. */
export function refundPoints(ending: EndingName, facts: RefundFacts): number {
  return Math.min(facts.charged, endings[ending].refund(facts))
}

/** What the owner reads: what went wrong, and what became of the points. */
export function sentenceFor(
  ending: EndingName,
  detail: string,
  points: { readonly charged: number; readonly refund: number },
): string {
  const sentence = endings[ending].sentence(detail)
  return sentence && `${sentence} ${aboutPoints(points)}`
}

function aboutPoints({ charged, refund }: { readonly charged: number; readonly refund: number }): string {
  if (charged === 0) return 'You have not been charged.'
  if (refund === charged) return 'Your points have been returned.'
  if (refund === 0) return 'No points have been returned: they paid for what was used.'
  return `${refund} of ${charged} points have been returned; the rest paid for what was used.`
}

/** A failure whose reason may be put right by another machine, given how often it has struck. */
export function worthAnotherMachine(reason: Reason, timesSeen: number): boolean {
  return timesSeen <= endings[reason].anotherMachine
}
