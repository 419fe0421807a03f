/**
 * A job that waits instead of failing: the reason and the next try are noted in its run, then its document goes back to
 * the queue, in this order, so that a worker that dies in between leaves a job that is taken up again. It keeps what it
 * has: plan, charge, checkpoint. Its machines are gone by then.
 *
 * It may be tried a hundred times a day: refused orders are forgotten, and the timeline hears of a reason once. How long a job
 * has waited counts by reason, so that a wait for money leaves the whole time to wait for a machine.
 */
import type { Failure } from '../../failure.ts'
import { endings, type HoldRule } from '../endings.ts'
import { reportOf } from '../failure-report.ts'
import type { Job } from '../job.ts'
import { tallied, wasRefused } from './refusals.ts'
import { tearDownAll } from './teardown.ts'

/** False if the failure is none to wait for, or has been waited for long enough. */
export async function hold(job: Job, failure: Failure): Promise<boolean> {
  const { reason, message } = failure
  const rule = endings[reason].hold
  if (!rule) return false
  const { clock } = job.ports
  const { waiting, heldSince } = job.run
  const waitedSince = waiting ? waiting.since[reason] : heldSince
  const waitedMs = waitedSince ? clock.now().getTime() - waitedSince.getTime() : 0
  if (waitedMs >= longest(rule, job)) return false
  await tearDownAll(job)
  if (waiting?.told !== message) await job.record('held', `waits: ${message}`, reportOf(job, failure))
  // A slow teardown is no part of the wait: it begins when its owner is told of it.
  const now = clock.now()
  const since = waitedSince ?? now
  const refused = job.run.attempts.filter((attempt) => wasRefused(attempt) && attempt.tornDownAt)
  const refusals = tallied(refused, waiting?.refusals)
  await job.change({
    waiting: {
      since: { ...waiting?.since, [reason]: since },
      roundEndedAt: now,
      told: message,
      ...(Object.keys(refusals).length > 0 && { refusals }),
    },
  })
  if (refused.length > 0) await job.forgetAttempts(refused.map(({ number }) => number))
  await putBack(job, message, new Date(now.getTime() + rule.retryMs), since)
  return true
}

function longest({ atMostMs }: HoldRule, { settings }: Job): number {
  return typeof atMostMs === 'number' ? atMostMs : settings[atMostMs]
}

/** Back into the queue as it was, for another worker to claim at once. */
export async function putBack(
  job: Job,
  reason: string,
  until = job.ports.clock.now(),
  since = job.ports.clock.now(),
): Promise<void> {
  await job.change({ hold: { reason, since, until }, heldSince: since })
  await job.ports.trainings.releaseSlot(job.training.id)
  job.emit('held', `waits until ${until.toISOString()}: ${reason}`, { reason, until })
}
