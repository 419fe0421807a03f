/**
 * Removes what jobs left in the cloud, and tells operators of what could not be removed until it is gone.
 * A machine whose teardown could not be proved is released again, also where the cloud lists nothing of it
 * any more: only a release that comes to its end is proof, and only then are its books closed.
 */
import type { Machines } from '../cloud/machines.ts'
import { type Leak, reap } from '../cloud/reaper.ts'
import type { Budget } from '../ledger/budget.ts'
import { attemptCost } from '../pipeline/cost.ts'
import type { Clock } from '../pipeline/ports.ts'
import { type Attempt, allAttempts, type Runs } from '../trainings/runs.ts'
import type { Alerts } from './alerts.ts'

type Parts = {
  readonly machines: Machines
  readonly runs: Runs
  readonly budget: Budget
  readonly alerts: Alerts
  readonly clock: Pick<Clock, 'now'>
  /** Who writes, as leases name it. */
  readonly worker: string
  readonly onLeak?: (leak: Leak) => void
}

/** Long enough for two writes. */
const leaseMs = 30_000

export async function watchLeaks(parts: Parts): Promise<void> {
  const { machines, runs, alerts, clock, onLeak } = parts
  const report = await reap({ machines, runs, now: clock.now(), ...(onLeak && { onLeak }) })
  for (const { name, error } of report.failed) await raise(alerts, name, error)
  const failed = new Set(report.failed.map(({ name }) => name))
  for (const run of await runs.withMachines()) {
    if (!run.endedAt) continue // its job goes on trying
    for (const attempt of allAttempts(run)) {
      if (!attempt.tornDownAt && !failed.has(attempt.name)) await clear(parts, run.id, attempt)
    }
  }
  for (const name of report.released) await alerts.clear(`leak:${name}`, `${name} is gone.`)
}

async function clear(parts: Parts, trainingId: string, attempt: Attempt): Promise<void> {
  const { machines, runs, budget, alerts, clock, worker } = parts
  try {
    await machines.release(attempt.name)
  } catch (error) {
    return raise(alerts, attempt.name, error)
  }
  const held = await runs.acquire(trainingId, worker, leaseMs)
  if (!held) return
  const tornDownAt = clock.now()
  const costUsd = await budget.settle(attempt.name, attemptCost(attempt, tornDownAt))
  await runs.changeAttempt(held.lease, attempt.number, { tornDownAt, costUsd, suspectedLeak: false })
  await runs.release(held.lease)
  await alerts.clear(`leak:${attempt.name}`, `${attempt.name} is gone.`)
}

function raise(alerts: Alerts, name: string, error: unknown): Promise<void> {
  return alerts.raise(`leak:${name}`, {
    severity: 'critical',
    title: `${name} is still there`,
    text: error instanceof Error ? error.message : String(error),
  })
}
