/**
 * Tells operators when the budgets for machines run low and out. Called from the worker's tick, and by a job
 * that was refused a machine. What stands is over when so much was freed, or a new period has begun, that
 * machines fit again with some distance: else one machine more or less would ring twice.
 */
import { type Budget, type BudgetLimits, spokenFor } from '../ledger/budget.ts'
import type { Alerts } from '../notify/alerts.ts'
import { type Period, usedUpAlert, usedUpKey } from '../notify/budget-alerts.ts'

const lowFrom = 0.8
const overBelow = 0.7

export async function watchBudget(
  { budget, alerts }: { readonly budget: Pick<Budget, 'spending'>; readonly alerts: Alerts },
  limits: BudgetLimits,
  now: Date,
): Promise<void> {
  const { dayUsd, monthUsd } = spokenFor(await budget.spending(now))
  await watch(alerts, 'day', dayUsd, limits.dayUsd)
  await watch(alerts, 'month', monthUsd, limits.monthUsd)
}

async function watch(alerts: Alerts, period: Period, usd: number, limit: number): Promise<void> {
  const share = limit > 0 ? usd / limit : 0
  const state = `$${usd.toFixed(2)} of $${limit.toFixed(2)} is spent or reserved`
  const lowKey = `budget:${period}:80`
  if (share >= 1) await alerts.raise(usedUpKey(period), usedUpAlert(period, state))
  if (share >= lowFrom) {
    const title = `The ${period}'s budget for machines is at ${Math.floor(100 * share)} %`
    await alerts.raise(lowKey, { severity: 'warning', title, text: `${state}.` })
  }
  if (share >= overBelow) return
  await alerts.clear(lowKey, `${state}.`)
  await alerts.clear(usedUpKey(period), `${state}.`)
}
