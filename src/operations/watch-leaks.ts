/**
 * Removes what jobs left in the cloud, and tells operators of what could not be removed until it is gone.
 * A machine whose teardown could not be proved is released again, also where the cloud lists nothing of it
 * any more: only a release that comes to its end is proof, and only then are its books closed. Of a run, all of
 * this is done under its lease.
 */
import type { Clock } from '../clock.ts'
import type { Machines, Released } from '../cloud/machines.ts'
import type { Budget } from '../ledger/budget.ts'
import type { Alerts } from '../notify/alerts.ts'
import { eventOf } from '../pipeline/events.ts'
import { gone } from '../pipeline/steps/offer-words.ts'
import { closedBooks } from '../trainings/cost.ts'
import { allAttempts, type Lease, LeaseLost, type Run, type Runs } from '../trainings/runs.ts'
import type { Timeline } from '../trainings/timeline.ts'
import { underLease } from '../trainings/under-lease.ts'
import { type Leak, reap } from './reaper.ts'

type Parts = {
  readonly machines: Machines
  readonly runs: Runs
  readonly timeline: Timeline
  readonly budget: Budget
  readonly alerts: Alerts
  readonly clock: Clock
  /** Who writes, as leases name it. */
  readonly worker: string
  readonly onLeak?: (leak: Leak) => void
}

export async function watchLeaks(parts: Parts): Promise<void> {
  const { machines, runs, clock, worker, alerts, onLeak } = parts
  const report = await reap({
    machines,
    runs,
    clock,
    worker,
    ...(onLeak && { onLeak }),
    onReleased: (name, released, known) => close(parts, name, released, known),
  })
  for (const { name, error } of report.failed) await raise(alerts, name, error)
  const seen = new Set<string>([...report.failed.map(({ name }) => name), ...report.skipped])
  for (const run of await runs.withMachines()) await releaseLeft(parts, run, seen)
}

/** What may be left of a run that has ended, though the cloud lists it or not. */
async function releaseLeft(parts: Parts, { id, endedAt }: Run, seen: ReadonlySet<string>): Promise<void> {
  if (!endedAt) return // its job goes on trying
  await underLease(parts, id, async (lease, run, isLost) => {
    const left = run.endedAt ? allAttempts(run).filter(({ tornDownAt }) => !tornDownAt) : []
    for (const { name } of left) {
      if (seen.has(name)) continue
      try {
        const released = await parts.machines.release(name)
        if (isLost()) return
        await close(parts, name, released, { lease, run })
      } catch (error) {
        if (error instanceof LeaseLost) return
        await raise(parts.alerts, name, error)
      }
    }
  })
}

/** The machine is gone, by proof. */
async function close(
  { runs, timeline, budget, alerts, clock }: Parts,
  name: string,
  released: Released,
  known?: { readonly lease: Lease; readonly run: Run },
): Promise<void> {
  const attempt = known && allAttempts(known.run).find((each) => each.name === name)
  if (known && attempt && !attempt.tornDownAt) {
    const books = closedBooks(attempt, released, clock.now())
    const costUsd = await budget.settle(name, books.costUsd)
    const event = eventOf(known.lease, gone(attempt.number, costUsd))
    if (known.run.lastEvent) await timeline.append(known.run.lastEvent)
    const { lastEvent } = await runs.changeAttempt(known.lease, attempt.number, { ...books, costUsd }, event)
    if (lastEvent) await timeline.append(lastEvent)
  }
  if (released.warning)
    await alerts.report(`state:${name}`, {
      severity: 'warning',
      title: `The state of ${name} was broken`,
      text: `${released.warning}. Its machine is gone.`,
    })
  await alerts.clear(`leak:${name}`, `${name} is gone.`)
}

function raise(alerts: Alerts, name: string, error: unknown): Promise<void> {
  return alerts.raise(`leak:${name}`, {
    severity: 'critical',
    title: `${name} is still there`,
    text: error instanceof Error ? error.message : String(error),
  })
}
