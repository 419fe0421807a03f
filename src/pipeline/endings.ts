/**
 * Every ending of a job is a row here: what status the document gets, how much of the charge goes back,
 * how many more machines the trouble is worth, and the sentence that the owner reads. A reason without a
 * row does not compile.
 *
 * `refund`: `all`, or `unused`: the charge × (1 − trained steps ÷ planned steps), rounded down.
 * `anotherMachine`: after so many attempts ended for this reason the job ends; 0: at the first.
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
  sentence(detail: string): string
}

const refunded = 'Your points have been returned.'
const never = { anotherMachine: 0, resume: 0, alert: false } as const
const failed = { ...never, status: 'FAILED', refund: 'all' } as const

export const endings: Readonly<Record<EndingName, Ending>> = {
  trained: { ...never, status: 'COMPLETED', refund: 'none', sentence: () => '' },
  cancelled: {
    ...never,
    status: 'CANCELLED',
    refund: 'unused',
    sentence: () => 'Cancelled; the points for the steps that were not trained have been returned.',
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
    sentence: (detail) => `The training was stopped at its cost limit: ${detail}. ${refunded}`,
  },
  'no-capacity': {
    ...failed,
    anotherMachine: 24,
    sentence: (detail) => `No GPU machine could be had (${detail}). ${refunded} Please try again later.`,
  },
  'machine-lost': {
    ...failed,
    anotherMachine: 5,
    sentence: (detail) => `The GPU machine was lost too often (${detail}). ${refunded} Please try again.`,
  },
  'machine-broken': {
    ...failed,
    anotherMachine: 3,
    sentence: (detail) => `The GPU machines were faulty (${detail}). ${refunded} Please try again.`,
  },
  'step-overran': {
    ...failed,
    anotherMachine: 2,
    sentence: (detail) => `The training took too long: ${detail}. ${refunded}`,
  },
  'trainer-refused': { ...failed, sentence: (detail) => `The training was refused: ${detail}. ${refunded}` },
  'trainer-diverged': {
    ...failed,
    sentence: (detail) =>
      `The training diverged (${detail}). ${refunded} A lower learning rate usually helps.`,
  },
  'out-of-memory': {
    ...failed,
    sentence: (detail) =>
      `The training ran out of memory (${detail}). ${refunded} A lower resolution or rank needs less.`,
  },
  'disk-full': {
    ...failed,
    anotherMachine: 1,
    alert: true,
    sentence: (detail) => `The machine's disk was full (${detail}). ${refunded}`,
  },
  'trainer-crashed': {
    ...failed,
    anotherMachine: 1,
    sentence: (detail) => `The trainer crashed (${detail}). ${refunded}`,
  },
  'trainer-hung': {
    ...failed,
    anotherMachine: 1,
    sentence: (detail) => `The trainer stopped making progress (${detail}). ${refunded}`,
  },
  'bad-artifact': {
    ...failed,
    alert: true,
    sentence: (detail) => `The trained model was unusable (${detail}). ${refunded}`,
  },
  'store-failed': {
    ...failed,
    resume: 3,
    alert: true,
    sentence: () => `The file store did not answer. ${refunded} Please try again later.`,
  },
  internal: {
    ...failed,
    resume: 3,
    alert: true,
    sentence: () => `Something went wrong on our side. ${refunded} Please try again.`,
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

/** A failure whose reason may be put right by another machine, given how often it has struck. */
export function worthAnotherMachine(reason: Reason, timesSeen: number): boolean {
  return timesSeen <= endings[reason].anotherMachine
}
