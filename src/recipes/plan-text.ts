/** The plan as the trainer finds it in `/job/plan.json`; the sum of these bytes names it. */
import { createHash } from 'node:crypto'
import { type Plan, planSchema } from './plan.ts'

/** Parsing puts the fields into one order, whichever way the plan came through a database. */
export function planText(plan: Plan): string {
  return JSON.stringify(planSchema.parse(plan), null, 2)
}

export function planSha256(plan: Plan): string {
  return createHash('sha256').update(planText(plan)).digest('hex')
}
