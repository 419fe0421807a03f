/**
 * What a job may wait for before it costs anything: money in the day's and the month's budgets for its first
 * machine, and the end of a back-off where its account's trainings have failed one after the other, each at the cost of
 * a machine. A job that waits is held (hold.ts). Last its registry is asked whether it has the trainer image at all.
 */
import { Failure } from '../../failure.ts'
import type { Plan } from '../../recipes/plan.ts'
import { recipes } from '../../recipes/registry.ts'
import { reservationUsd } from '../../trainings/cost.ts'
import type { Run } from '../../trainings/runs.ts'
import { endings } from '../endings.ts'
import { estimatesOn } from '../estimates.ts'
import type { Job } from '../job.ts'
import { mustBeHandedOut } from './image.ts'
import { mustFitBudget } from './reserve.ts'

const minute = 60_000
const day = 24 * 60 * minute

/** Failures of an account in a row that are taken for bad luck. */
const forgiven = 3
const longestBackOffMs = 6 * 60 * minute

export async function admit(job: Job, plan: Plan): Promise<void> {
  if (job.hasReached('charged')) return
  job.begin('admitting')
  await mustNotBackOff(job)
  const [cheapest] = await job.ports.machines.offers(recipes[plan.family].requirements(plan, job.run.base))
  if (cheapest) {
    const { corrected } = (await estimatesOn(job, plan, [cheapest]))(cheapest)
    await mustFitBudget(job, reservationUsd(corrected.totalSeconds, cheapest.usdPerHour))
  } // else the order finds out, and says why
  await mustBeHandedOut(job)
}

/** Three in a row are forgiven; each further one doubles the pause. */
async function mustNotBackOff(job: Job): Promise<void> {
  const accountId = job.run.terms?.ownerAccountId
  if (!accountId) return
  const now = job.ports.clock.now().getTime()
  const ended = await job.ports.runs.endedOf(accountId, new Date(now - day), 20)
  const firstGood = ended.findIndex((run) => !wasWasted(run))
  const wasted = firstGood === -1 ? ended.length : firstGood
  if (wasted < forgiven) return
  const pause = Math.min(longestBackOffMs, 10 * minute * 2 ** (wasted - forgiven))
  if (Number(ended[0]?.endedAt) + pause <= now) return
  throw new Failure('too-many-failures', `${wasted} in a row, each on a machine that had to be paid for`)
}

/** It ended as its own overrides, image or owner can make it end, and a machine was rented for it. */
function wasWasted({ outcome, attempts }: Run): boolean {
  if (!outcome || attempts.length === 0) return false
  const { refund } = endings[outcome.ending]
  return refund({ charged: 2, trainedSteps: 0, plannedSteps: 1, spent: 1 }) === 1
}
