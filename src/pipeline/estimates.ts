/** What a training takes on each GPU: its recipe's estimate, and that one put right by finished runs. */
import { timesL4 } from '../cloud/gpu-types.ts'
import type { Offer } from '../cloud/machines.ts'
import type { Plan } from '../recipes/plan.ts'
import type { Estimate } from '../recipes/recipe.ts'
import { recipes } from '../recipes/registry.ts'
import { correct, newest, type Observed } from '../recipes/speed.ts'
import { launchOf } from '../trainings/cost.ts'
import type { Run } from '../trainings/runs.ts'
import type { Job } from './job.ts'

export type Estimates = {
  /** Before corrections: what later runs are corrected by, so that corrections never feed on themselves. */
  readonly recipe: Estimate
  readonly corrected: Estimate
}

/** By the GPU's name. */
export async function estimatesOn(
  job: Job,
  plan: Plan,
  offers: readonly Offer[],
): Promise<(offer: Offer) => Estimates> {
  const gpus = [...new Set(offers.map(({ gpu }) => gpu))]
  const estimates = gpus.map(async (gpu) => {
    const speed = { gpu, timesL4: timesL4(gpu) }
    const recipe = recipes[plan.family].estimate(plan, speed, job.run.base)
    const runs = await job.ports.runs.completedOnFirstAttempt(plan.family, gpu, newest)
    return [gpu, { recipe, corrected: correct(recipe, runs.flatMap(observed)) }] as const
  })
  const byGpu = new Map(await Promise.all(estimates))
  return ({ gpu }) => {
    const found = byGpu.get(gpu)
    if (!found) throw new Error(`nothing was estimated for ${gpu}`)
    return found
  }
}

/** Nothing of a run whose times are not all known. */
function observed({ attempts: [attempt], phaseTimes: { staged, trained } }: Run): Observed[] {
  const launched = attempt && launchOf(attempt)
  if (!attempt?.estimate || !launched || !attempt.tornDownAt || !staged || !trained) return []
  const actual = {
    totalSeconds: secondsFrom(launched, attempt.tornDownAt),
    trainSeconds: secondsFrom(staged, trained),
  }
  return [{ estimated: attempt.estimate, actual }]
}

function secondsFrom(start: Date, end: Date): number {
  return (end.getTime() - start.getTime()) / 1000
}
