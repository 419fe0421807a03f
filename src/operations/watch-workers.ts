/**
 * Every worker says that it lives, and watches the others: one that falls silent without having stopped has
 * crashed, hangs or is cut off, and an operator is told. Its jobs don't wait for that: their leases run out
 * sooner, and the remaining workers take them up.
 *
 *     seen ──3 minutes──▶ missing (told) ──seen again, or stopped──▶ over
 *                            └──1 hour, and no job waits for a worker──▶ forgotten (over)
 *
 * No other worker watches a lone one: /healthz is there for that.
 */
import type { AlertBook } from '../notify/alerts.ts'
import type { WorkerPresence, Workers } from '../notify/workers.ts'
import type { Runs } from '../trainings/runs.ts'

const missingAfterMs = 3 * 60_000
const forgottenAfterMs = 60 * 60_000
const keyOf = (name: string) => `worker:${name}`

export async function watchWorkers(
  parts: {
    readonly workers: Workers
    readonly alerts: AlertBook
    readonly runs: Pick<Runs, 'unfinished'>
  },
  self: Pick<WorkerPresence, 'name' | 'startedAt'>,
): Promise<void> {
  const { workers, alerts } = parts
  const wasSilentMs = await workers.heartbeat(self)
  // A worker that was away itself would report all that the same outage kept away.
  if (wasSilentMs >= missingAfterMs) return

  const all = await workers.all()
  for (const worker of all) {
    if (worker.silentMs >= forgottenAfterMs && (await isReplaced(parts.runs))) await forget(parts, worker)
    else if (worker.silentMs >= missingAfterMs) await alerts.raise(keyOf(worker.name), missing(worker))
  }
  const known = new Map(all.map((worker) => [keyOf(worker.name), worker]))
  for (const { key } of await alerts.standing()) {
    if (!key.startsWith(keyOf(''))) continue
    const worker = known.get(key)
    if (!worker) await alerts.clear(key, 'It has stopped.')
    else if (worker.silentMs < missingAfterMs) await alerts.clear(key, 'It is back.')
  }
}

/** No job is left that some worker would have to take up. */
async function isReplaced(runs: Pick<Runs, 'unfinished'>): Promise<boolean> {
  return (await runs.unfinished(1)).length === 0
}

async function forget(
  { workers, alerts }: { readonly workers: Workers; readonly alerts: AlertBook },
  worker: WorkerPresence,
): Promise<void> {
  await alerts.clear(keyOf(worker.name), 'It has not come back, and none of its jobs waits for it.')
  await workers.forget(worker)
}

function missing({ name, startedAt, seenAt }: WorkerPresence) {
  const times = `It was last seen at ${seenAt.toISOString()} and had started at ${startedAt.toISOString()}`
  return {
    severity: 'warning',
    title: `The worker ${name} is silent`,
    text: `${times}. Its jobs are taken up by those that are left.`,
  } as const
}
