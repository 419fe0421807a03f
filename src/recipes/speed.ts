/** Keeps estimates honest: what finished runs took corrects what the next one is said to take. */
import type { Estimate } from './recipe.ts'

/** A finished run of the same family and GPU: what was estimated before corrections, and what it took. */
export type Observed = { readonly estimated: Estimate; readonly actual: Estimate }

/** Newer runs say more about today's images and machines than all that were ever made. */
export const newest = 20

/** A correction beyond this is rather a run that went wrong. */
const most = 4

/**
 * Scales training and the phases around it, each by the geometric mean of actual ÷ estimated over the
 * newest runs (`observed` is newest first). Two imagined runs that were right hold it back, so that one
 * odd run doesn't triple every price.
 */
export function correct(estimate: Estimate, observed: readonly Observed[]): Estimate {
  const runs = observed.slice(0, newest)
  const training = factor(runs.map((run) => run.actual.trainSeconds / run.estimated.trainSeconds))
  const around = factor(runs.map((run) => secondsAround(run.actual) / secondsAround(run.estimated)))
  const trainSeconds = Math.ceil(estimate.trainSeconds * training)
  return { trainSeconds, totalSeconds: trainSeconds + Math.ceil(secondsAround(estimate) * around) }
}

function secondsAround(estimate: Estimate): number {
  return estimate.totalSeconds - estimate.trainSeconds
}

function factor(ratios: readonly number[]): number {
  const usable = ratios.filter((ratio) => ratio > 0 && Number.isFinite(ratio))
  const logarithms = usable.map((ratio) => Math.log(Math.min(most, Math.max(1 / most, ratio))))
  return Math.exp(logarithms.reduce((sum, each) => sum + each, 0) / (logarithms.length + 2))
}
