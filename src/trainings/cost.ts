/** What machines cost, in USD. A machine is paid from its launch until it was seen terminated; no machine, no cost. */
import type { Released } from '../cloud/machines.ts'
import type { Attempt } from './runs.ts'

/** From the deadline until the machine is surely off: shutting down, and the last started minute. */
const shutdownSeconds = 120

/** Never more than was reserved: the machine switched itself off at its deadline, however late that is noticed. */
export function attemptCost(attempt: Attempt, now: Date): number {
  if (attempt.costUsd !== undefined) return attempt.costUsd
  const from = launchOf(attempt)
  if (!from) return 0
  const until = attempt.tornDownAt ?? now
  const hours = Math.max(0, until.getTime() - from.getTime()) / 3_600_000
  return Math.min(attempt.reservedUsd, hours * attempt.offer.usdPerHour)
}

/** Undefined where no machine was seen. Attempts of earlier releases note the machine alone: it is no older than its order. */
export function launchOf({ launchedAt, instanceId, orderedAt }: Attempt): Date | undefined {
  return launchedAt ?? (instanceId === undefined ? undefined : orderedAt)
}

export function costSoFar(attempts: readonly Attempt[], now: Date): number {
  return attempts.reduce((sum, attempt) => sum + attemptCost(attempt, now), 0)
}

/** What its owner pays of that: a machine that failed costs him until then, however long its end takes. */
export function ownersCost(attempts: readonly Attempt[], now: Date): number {
  const costs = attempts.map((attempt) => {
    const failedAt = attempt.failure?.at
    const { costUsd: _, ...open } = attempt
    const cost = attemptCost(attempt, now)
    return failedAt ? Math.min(cost, attemptCost({ ...open, tornDownAt: failedAt }, now)) : cost
  })
  return costs.reduce((sum, cost) => sum + cost, 0)
}

/** What an attempt's books say once its machine was seen terminated. */
export function closedBooks(attempt: Attempt, { launchedAt: seen }: Released, tornDownAt: Date) {
  const launchedAt = attempt.launchedAt ?? seen
  const closed = { ...attempt, ...(launchedAt && { launchedAt }), tornDownAt }
  const costUsd = attemptCost(closed, tornDownAt)
  return { ...(launchedAt && { launchedAt }), tornDownAt, costUsd, suspectedLeak: false }
}

/** What is spoken for: the cost of machines that are gone, the reservation of those that may be there. */
export function committedUsd(attempts: readonly Attempt[]): number {
  return attempts.reduce((sum, attempt) => sum + (attempt.costUsd ?? attempt.reservedUsd), 0)
}

/** The most that a machine which switches itself off after `seconds` can cost. */
export function reservationUsd(seconds: number, usdPerHour: number): number {
  return ((seconds + shutdownSeconds) / 3600) * usdPerHour
}

/** How long a machine may be kept for that much; less than 0: not at all. */
export function affordableSeconds(usd: number, usdPerHour: number): number {
  return (usd / usdPerHour) * 3600 - shutdownSeconds
}
