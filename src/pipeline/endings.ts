/**
 * Every ending of a job is a row here: what status the document gets, how much of the charge goes back,
 * how many more machines the trouble is worth, and the sentence that the owner reads; what became of the
 * points is added to it. A reason without a row does not compile.
 *
 * `refund`: `all`, or `unused`: the charge × (1 − trained steps ÷ planned steps), rounded down.
 * `anotherMachine`: after so many attempts ended for this reason the job ends; 0: at the first.
 * `keepsCheckpoint`: the last one stays in the work bucket, for an operator who lets the training go on.
 * `resume`: so often is the whole job taken up again from its evidence before it ends.
 */
import type { Reason } from '../failure.ts'
import type { Outcome } from '../trainings/runs.ts'

export type EndingName = Outcome['ending']

export type Ending = {
  readonly status: 'COMPLETED' | 'FAILED' | 'CANCELLED'
  readonly refund: 'none' | 'all' | 'unused'
  readonly anotherMachine: number
  readonly resume: number
  readonly alert: boolean
  readonly keepsCheckpoint: boolean
  sentence(detail: string): string
}

const never = { anotherMachine: 0, resume: 0, alert: false, keepsCheckpoint: false } as const
const failed = { ...never, status: 'FAILED', refund: 'all' } as const

export const endings: Readonly<Record<EndingName, Ending>> = {
  trained: { ...never, status: 'COMPLETED', refund: 'none', sentence: () => '' },
  'trained-in-part': {
    ...never,
    status: 'COMPLETED',
    refund: 'unused',
    sentence: (detail) => `The training reached a cost limit: ${detail}.`,
  },
  cancelled: {
    ...never,
    status: 'CANCELLED',
    refund: 'unused',
    sentence: () => 'Cancelled by its owner.',
  },
  'bad-request': { ...failed, sentence: (detail) => `This training can't be started: ${detail}.` },
  'unknown-model': { ...failed, sentence: (detail) => `This training can't be started: ${detail}.` },
  'bad-dataset': { ...failed, sentence: (detail) => `The dataset can't be trained on: ${detail}.` },
  'cannot-pay': {
    ...failed,
    sentence: (detail) => `There are not enough points for this training: ${detail}.`,
  },
  'over-budget': {
    ...failed,
    keepsCheckpoint: true,
    sentence: (detail) => `The training reached a cost limit: ${detail}.`,
  },
  'no-capacity': {
    ...failed,
    anotherMachine: 24,
    sentence: (detail) => `No GPU machine could be had (${detail}). Please try again later.`,
  },
  'machine-lost': {
    ...failed,
    anotherMachine: 5,
    sentence: (detail) => `The GPU machine was lost too often (${detail}). Please try again.`,
  },
  'machine-broken': {
    ...failed,
    anotherMachine: 3,
    sentence: (detail) => `The GPU machines were faulty (${detail}). Please try again.`,
  },
  'step-overran': {
    ...failed,
    anotherMachine: 2,
    sentence: (detail) => `The training took too long: ${detail}.`,
  },
  'trainer-refused': { ...failed, sentence: (detail) => `The training was refused: ${detail}.` },
  'trainer-diverged': {
    ...failed,
    sentence: (detail) => `The training diverged (${detail}). A lower learning rate usually helps.`,
  },
  'out-of-memory': {
    ...failed,
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
  'store-failed': {
    ...failed,
    resume: 3,
    alert: true,
    sentence: () => `The file store did not answer. Please try again later.`,
  },
  'comfyui-failed': {
    ...failed,
    resume: 300, // more than a day, with the claim loop's pauses; no machine waits for it
    alert: true,
    sentence: () => `The model is trained and in the gallery, but ComfyUI could not be given it.`,
  },
  internal: {
    ...failed,
    resume: 3,
    alert: true,
    sentence: () => `Something went wrong on our side. Please try again.`,
  },
}

/** The rule for a refund; whole points, never more than the charge. */
export function refundPoints(
  ending: EndingName,
  chargedPoints: number,
  trainedSteps: number,
  plannedSteps: number,
): number {
  const { refund } = endings[ending]
  if (refund === 'none') return 0
  if (refund === 'all' || plannedSteps === 0) return chargedPoints
  const unused = 1 - Math.min(1, trainedSteps / plannedSteps)
  return Math.floor(chargedPoints * unused)
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
  return `${refund} of ${charged} points, for the steps that were not trained, have been returned.`
}

/** A failure whose reason may be put right by another machine, given how often it has struck. */
export function worthAnotherMachine(reason: Reason, timesSeen: number): boolean {
  return timesSeen <= endings[reason].anotherMachine
}
