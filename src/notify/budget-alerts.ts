/** The alerts that a budget for machines raises when it is used up: by the job that finds it so, and by the watch. */
import type { Alert } from './alerts.ts'

export type Period = 'day' | 'month'

export function usedUpKey(period: Period): string {
  return `budget:${period}:100`
}

export function usedUpAlert(period: Period, detail: string): Alert {
  return {
    severity: 'critical',
    title: `The ${period}'s budget for machines is used up`,
    text: `${detail}. Jobs that need a machine wait in the queue until it is raised or the ${period} is over.`,
  }
}
