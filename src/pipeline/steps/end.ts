/**
 * How a job ends. The outcome is decided once and written under the lease; then, in this order, and each
 * safe to repeat: machines gone, points back, the document told, scratch files removed, the place freed.
 */
import { Failure } from '../../failure.ts'
import type { Plan } from '../../recipes/plan.ts'
import type { Outcome } from '../../trainings/runs.ts'
import { LeaseLost } from '../../trainings/runs.ts'
import type { TrainingResult } from '../../trainings/trainings.ts'
import { type EndingName, endings, refundPoints, sentenceFor } from '../endings.ts'
import { reportOf } from '../failure-report.ts'
import { Cancelled, HandOver, type Job } from '../job.ts'
import { removeScratch } from '../scratch.ts'
import type { Shipped } from './ship.ts'
import { finishTeardowns, tearDownAll } from './teardown.ts'

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
  await job.tell('failure', failure.message, { ...reportOf(job, failure), faults })
  if (faults <= endings[failure.reason].resume) {
    await finishTeardowns(job)
    throw failure
  }
  await end(job, failure.reason, failure.message)
}

/** All that was ordered, or what there was when the money was used up. */
export function delivered({ training }: Shipped, plan: Plan): [ending: EndingName, detail: string] {
  if (training.steps >= plan.steps) return ['trained', '']
  return ['trained-in-part', `the model has ${training.steps} of ${plan.steps} steps`]
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
    sentence: sentenceFor(ending, detail, { charged, refund }),
    refundPoints: refund,
    decidedAt: job.ports.clock.now(),
    ...(result && { result }),
  }
  await job.change({ outcome })
  await carryOut(job, job.run.outcome ?? outcome) // decided before, if the answer to that write was lost
}

/** By the ledger's word: a worker may have died between the charge and its own note of it. */
async function chargedPoints(job: Job): Promise<number> {
  const movements = await job.ports.ledger.movements(job.training.id)
  return -movements
    .filter(({ key }) => key.startsWith('charge:'))
    .reduce((sum, { points }) => sum + points, 0)
}

/** Everything that follows from an outcome; called again until it has come to its end. */
export async function carryOut(job: Job, outcome: Outcome): Promise<void> {
  const { trainings, store, alerts, clock } = job.ports
  const { id } = job.training
  job.begin('ending')
  await tearDownAll(job)
  if (outcome.ending !== 'trained') await refund(job, outcome)

  const { status, alert, keepsCheckpoint } = endings[outcome.ending]
  if (outcome.result) await trainings.complete(id, outcome.result, outcome.sentence)
  else if (status === 'FAILED') await trainings.fail(id, outcome.sentence)
  if (alert) {
    await alerts.report(`job:${id}`, {
      severity: 'warning',
      title: `Training ${id} ended: ${outcome.ending}`,
      text: outcome.sentence,
    })
  }
  await removeScratch(store, id, keepsCheckpoint)
  await trainings.freePlace(id)
  const suspected = job.run.attempts.filter(({ suspectedLeak }) => suspectedLeak).map(({ name }) => name)
  await job.reach(
    'torn down',
    suspected.length > 0 ? `left to the reaper: ${suspected.join(', ')}` : 'nothing is left of its machines',
  )
  await job.tell('outcome', outcome.sentence || 'trained', {
    ending: outcome.ending,
    refundPoints: outcome.refundPoints,
  })
  await job.change({ endedAt: clock.now() })
}

/** Where nothing was charged, this closes the charge: one that is still on its way then moves nothing. */
async function refund(job: Job, { refundPoints: points }: Outcome): Promise<void> {
  const { ledger, alerts } = job.ports
  const { id, ownerAccountId } = job.training
  if (!ownerAccountId) return
  try {
    const uncharged = job.run.chargedPoints === undefined
    await ledger.refund(id, ownerAccountId, uncharged ? Number.MAX_SAFE_INTEGER : points)
  } catch (error) {
    await alerts.raise(`refund:${id}`, {
      severity: 'critical',
      title: `A refund failed: training ${id}`,
      text: `${points} points for account ${ownerAccountId} could not be returned: ${messageOf(error)}. It is tried again until it works.`,
    })
    throw error
  }
  await alerts.clear(`refund:${id}`, `${points} points were returned to account ${ownerAccountId}.`)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
