/**
 * How a job ends. The outcome is decided once and written under the lease; then, in this order, and each
 * safe to repeat: machines gone, points back, the document told, scratch files removed, the place freed.
 */
import { Failure } from '../../failure.ts'
import type { Outcome } from '../../trainings/runs.ts'
import { LeaseLost } from '../../trainings/runs.ts'
import type { TrainingResult } from '../../trainings/trainings.ts'
import { type EndingName, endings, refundPoints } from '../endings.ts'
import { Cancelled, HandOver, type Job } from '../job.ts'
import { tearDownAll } from './teardown.ts'

/** After an error: nothing if this worker must let go, another try if that may help, else the end. */
export async function whatNext(job: Job, error: unknown): Promise<void> {
  const reason = job.signal.aborted ? job.signal.reason : error
  if (error instanceof LeaseLost || reason instanceof LeaseLost || reason instanceof HandOver) throw reason
  if (job.run.outcome) throw error // decided already: what is left of it is taken up again
  if (reason instanceof Cancelled) return end(job, 'cancelled', 'cancelled by its owner')

  const failure =
    error instanceof Failure ? error : new Failure('internal', messageOf(error), { cause: error })
  const faults = (job.run.faults ?? 0) + 1
  await job.change({ faults })
  await job.tell('failure', failure.message, {
    reason: failure.reason,
    faults,
    ...(failure.evidence && { evidence: failure.evidence }),
    ...(failure.cause instanceof Error && { cause: failure.cause.stack ?? failure.cause.message }),
  })
  if (faults <= endings[failure.reason].resume) throw failure
  await end(job, failure.reason, failure.message)
}

export async function end(
  job: Job,
  ending: EndingName,
  detail: string,
  result?: TrainingResult,
): Promise<void> {
  const charged = await chargedPoints(job)
  const refund = refundPoints(ending, charged, job.run.lastStep ?? 0, job.run.plan?.steps ?? 0)
  const outcome: Outcome = {
    ending,
    sentence: endings[ending].sentence(detail),
    refundPoints: refund,
    decidedAt: job.ports.clock.now(),
    ...(result && { result }),
  }
  await job.change({ outcome })
  await carryOut(job, outcome)
}

/** By the ledger's word: a worker may have died between the charge and its own note of it. */
async function chargedPoints(job: Job): Promise<number> {
  const movements = await job.ports.ledger.movements(job.training.id)
  return -movements.filter(({ key }) => key.startsWith('charge:')).reduce((sum, { points }) => sum + points, 0)
}

/** Everything that follows from an outcome; called again until it has come to its end. */
export async function carryOut(job: Job, outcome: Outcome): Promise<void> {
  const { trainings, ledger, alerts, clock } = job.ports
  const { id, ownerAccountId } = job.training
  await tearDownAll(job)
  if (ownerAccountId && outcome.refundPoints > 0)
    await ledger.refund(id, ownerAccountId, outcome.refundPoints)

  const { status, alert } = endings[outcome.ending]
  if (outcome.result) await trainings.complete(id, outcome.result)
  else if (status === 'FAILED') await trainings.fail(id, outcome.sentence)
  if (alert) {
    await alerts.raise(`job:${id}`, {
      severity: 'warning',
      title: `Training ${id} ended: ${outcome.ending}`,
      text: outcome.sentence,
    })
  }
  await removeScratch(job)
  await trainings.freePlace(id)
  await job.reach('torn down', 'nothing is left of its machines')
  await job.tell('outcome', outcome.sentence || 'trained', {
    ending: outcome.ending,
    refundPoints: outcome.refundPoints,
  })
  await job.change({ endedAt: clock.now() })
}

/** The prepared dataset, and checkpoints that nobody goes on from. */
async function removeScratch(job: Job): Promise<void> {
  const { store } = job.ports
  for (const object of await store.list('work', `jobs/${job.training.id}/`)) await store.remove(object)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
