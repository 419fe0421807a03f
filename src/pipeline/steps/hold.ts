/**
 * A job that waits instead of failing: the reason and the next try are noted in its run, then its document goes back to
 * the queue, in this order, so that a worker that dies in between leaves a job that is taken up again. It keeps what it
 * has: plan, charge, checkpoint. Its machines are gone by then.
 */
import type { Failure } from '../../failure.ts'
import { endings } from '../endings.ts'
import type { Job } from '../job.ts'
import { tearDownAll } from './teardown.ts'

/** False if the failure is none to wait for, or has been waited for long enough. */
export async function hold(job: Job, failure: Failure): Promise<boolean> {
  const rule = endings[failure.reason].hold
  if (!rule) return false
  const now = job.ports.clock.now()
  const since = job.run.heldSince ?? now
  if (now.getTime() - since.getTime() >= rule.atMostMs) return false
  await tearDownAll(job)
  await putBack(job, failure.message, new Date(now.getTime() + rule.retryMs), since)
  return true
}

/** Back into the queue as it was, for another worker to claim at once. */
export async function putBack(
  job: Job,
  reason: string,
  until = job.ports.clock.now(),
  since = job.ports.clock.now(),
): Promise<void> {
  await job.change({ hold: { reason, since, until }, heldSince: since })
  await job.ports.trainings.freePlace(job.training.id)
  job.show('held', `waits until ${until.toISOString()}: ${reason}`, { reason, until })
}
