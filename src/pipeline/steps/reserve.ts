/**
 * The day's and the month's budgets, which all jobs share. One that is used up is no fault of a job: it waits until the
 * budget turns or is raised, and nothing of it is noted meanwhile.
 */
import { Failure } from '../../failure.ts'
import { spokenFor } from '../../ledger/budget.ts'
import { type Period, usedUpAlert, usedUpKey } from '../../notify/budget-alerts.ts'
import type { Attempt } from '../../trainings/runs.ts'
import type { Job } from '../job.ts'

/** Failure('budget-used-up') where the day's or the month's budget has not that much left, in USD: before anything is noted. */
export async function mustFitBudget(job: Job, usd: number): Promise<void> {
  const { budget, clock } = job.ports
  const { dayUsd, monthUsd } = job.settings.budget
  const taken = spokenFor(await budget.spending(clock.now()))
  const left = { month: monthUsd - taken.monthUsd, day: dayUsd - taken.dayUsd }
  // The month's first: where both are used up, the day's turn does not help.
  const short = (['month', 'day'] as const).find((period) => usd > left[period])
  if (short) throw await usedUp(job, short, left[short], usd)
}

/** Nothing is ordered that the budgets can't pay. A replay changes nothing. */
export async function reserve(job: Job, { number, name, reservedUsd }: Attempt): Promise<void> {
  const { budget, clock } = job.ports
  const at = clock.now()
  const answer = await budget.reserve({ key: name, usd: reservedUsd }, job.settings.budget, at)
  if (answer.granted) return
  // Another job was quicker: nothing was ordered, so there is nothing to tear down.
  await job.changeAttempt(number, { tornDownAt: at, costUsd: 0 })
  throw await usedUp(job, answer.period, answer.leftUsd, reservedUsd)
}

/** When the next day or month begins, which budgets count in UTC. */
export function turnOf(period: Period, now: Date): Date {
  const [year, month, day] = [now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate()]
  return new Date(period === 'day' ? Date.UTC(year, month, day + 1) : Date.UTC(year, month + 1, 1))
}

async function usedUp(job: Job, period: Period, leftUsd: number, usd: number): Promise<Failure> {
  const { alerts, clock } = job.ports
  const left = `$${Math.max(0, leftUsd).toFixed(2)} is left, and a machine needed $${usd.toFixed(2)}`
  await alerts.raise(usedUpKey(period), usedUpAlert(period, left))
  const turn = turnOf(period, clock.now()).toISOString().slice(0, 16).replace('T', ' ')
  return new Failure(
    'budget-used-up',
    `the budget for machines of this ${period} is used up; the next ${period} begins at ${turn} UTC`,
    { evidence: left },
  )
}
