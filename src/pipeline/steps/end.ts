/**
 * How a job ends. The outcome is decided once and written under the lease; then, in this order, and each
 * safe to repeat: machines gone, points back, the document told, scratch files removed, the slot freed.
 */
import { Failure } from '../../failure.ts'
import { chargeKey } from '../../ledger/ledger.ts'
import type { Manifest } from '../../models/manifest.ts'
import type { Plan } from '../../recipes/plan.ts'
import { ownersCost } from '../../trainings/cost.ts'
import type { Outcome } from '../../trainings/runs.ts'
import { LeaseLost } from '../../trainings/runs.ts'
import type { TrainingResult } from '../../trainings/trainings.ts'
import { workerFault } from '../../worker-fault.ts'
import { messageOf } from '../beside.ts'
import { type EndingName, endings, type RefundFacts, refundPoints, sentenceFor } from '../endings.ts'
import { reportOf } from '../failure-report.ts'
import { Cancelled, type Job, WorkerAtFault, WorkerDraining } from '../job.ts'
import { removeScratch } from '../scratch.ts'
import { hold, putBack } from './hold.ts'
import { finishTeardowns, tearDownAll } from './teardown.ts'

/** After an error: nothing if this worker must let go, another try if that may help, a wait in the queue, else the end. */
export async function handleFailure(job: Job, error: unknown): Promise<void> {
  const reason = job.signal.aborted ? job.signal.reason : error
  if (error instanceof LeaseLost || reason instanceof LeaseLost || reason instanceof WorkerDraining)
    throw reason
  if (job.run.outcome) throw error // decided already: what is left of it is taken up again
  if (reason instanceof Cancelled) return end(job, 'cancelled', reason.message)
  const ours = workerFault(error)
  if (ours) return leaveToAnotherWorker(job, new WorkerAtFault(ours, { cause: error }))

  const failure =
    error instanceof Failure ? error : new Failure('internal', messageOf(error), { cause: error })
  if (await hold(job, failure)) return alertOperators(job, failure.reason, failure.message)
  const kind = `${failure.reason} in ${job.step}`
  const faults = (job.run.faults?.[kind] ?? 0) + 1
  await job.change({ faults: { ...job.run.faults, [kind]: faults } })
  await job.record('failure', failure.message, { ...reportOf(job, failure), faults })
  if (faults <= endings[failure.reason].resume || canStillBeDelivered(job, failure)) {
    await finishTeardowns(job)
    throw failure
  }
  await end(job, failure.reason, failure.message)
}

/** A trained model waits on its machine for a store that is away, for as long as the machine is paid for. */
function canStillBeDelivered({ run, ports }: Job, { reason }: Failure): boolean {
  if (reason !== 'store-failed') return false
  const machine = run.attempts.findLast(({ tornDownAt, failure }) => !tornDownAt && !failure)
  const isTrained = run.phaseTimes.trained !== undefined
  return isTrained && machine !== undefined && machine.deadline > ports.clock.now()
}

/** A job that has cost nothing yet is as it was; another is taken up where it stands. Either way this worker stops. */
async function leaveToAnotherWorker(job: Job, fault: WorkerAtFault): Promise<never> {
  const { run } = job
  const untouched = run.chargedPoints === undefined && run.attempts.length === 0
  if (untouched) await putBack(job, fault.message)
  await finishTeardowns(job)
  throw fault
}

/** All that was ordered, or what there was when the money was used up. */
export function outcomeOf({ training }: Manifest, plan: Plan): [ending: EndingName, detail: string] {
  if (training.steps >= plan.steps) return ['trained', '']
  return ['trained-in-part', `the model has ${training.steps} of ${plan.steps} steps`]
}

export async function end(
  job: Job,
  ending: EndingName,
  detail: string,
  result?: TrainingResult,
): Promise<void> {
  const facts = await refundFacts(job)
  const refund = refundPoints(ending, facts)
  const sentence = sentenceFor(ending, detail, { charged: facts.charged, refund })
  const outcome: Outcome = {
    ending,
    sentence,
    ...(endings[ending].alert && !sentence.includes(detail) && { detail }),
    refundPoints: refund,
    decidedAt: job.ports.clock.now(),
    ...(result && { result }),
  }
  await job.change({ outcome })
  await applyOutcome(job, job.run.outcome ?? outcome) // decided before, if the answer to that write was lost
}

/** The charge by the ledger's word: a worker may have died between the charge and its own note of it. */
async function refundFacts({ ports, run, settings }: Job): Promise<RefundFacts> {
  const key = chargeKey({ trainingId: run.id, run: run.number })
  const movements = await ports.ledger.movements(run.id)
  const charge = movements.find((movement) => movement.key === key)
  return {
    charged: charge ? -charge.points : 0,
    trainedSteps: run.lastStep ?? 0,
    plannedSteps: run.plan?.steps ?? 0,
    spent: Math.ceil(ownersCost(run.attempts, ports.clock.now()) * settings.pointsPerUsd),
  }
}

/** Everything that follows from an outcome; called again until it has come to its end. */
export async function applyOutcome(job: Job, outcome: Outcome): Promise<void> {
  const { trainings, store, clock } = job.ports
  const { id } = job.training
  job.begin('ending')
  await tearDownAll(job)
  if (outcome.ending !== 'trained') await refund(job, outcome)

  if (!job.run.toldAt) {
    await tellOwner(job, outcome)
    await job.change({ toldAt: clock.now() })
  }
  const { detail, sentence } = outcome
  await alertOperators(job, outcome.ending, detail === undefined ? sentence : `${sentence} Cause: ${detail}`)
  await removeScratch(store, id, endings[outcome.ending].keepsCheckpoint)
  await trainings.releaseSlot(id)
  const suspected = job.run.attempts.filter(({ suspectedLeak }) => suspectedLeak).map(({ name }) => name)
  await job.reach(
    'torn down',
    suspected.length > 0 ? `left to the reaper: ${suspected.join(', ')}` : 'nothing is left of its machines',
  )
  await job.record('outcome', outcome.sentence || 'trained', {
    ending: outcome.ending,
    refundPoints: outcome.refundPoints,
  })
  await job.change({ endedAt: clock.now() })
}

/** The document follows the outcome, unless a person has ended it meanwhile: then it only says what became of the job. */
async function tellOwner(job: Job, { ending, sentence, result }: Outcome): Promise<void> {
  const { trainings } = job.ports
  const { id } = job.training
  if (result) {
    await trainings.complete(id, result, sentence)
    return trainings.deliver(
      id,
      result,
      sentence || 'It was ended after its last step: the model is finished.',
    )
  }
  if (endings[ending].status === 'FAILED') await trainings.fail(id, sentence)
  await trainings.explain(id, sentence)
}

async function alertOperators(job: Job, ending: EndingName, text: string): Promise<void> {
  if (!endings[ending].alert) return
  const { id, number } = job.run
  await job.ports.alerts.report(`job:${id}${number === 1 ? '' : `:${number}`}`, {
    severity: 'warning',
    title: `Training ${id}: ${ending}`,
    text,
  })
}

/** Where nothing was charged, this closes the charge: one that is still on its way then moves nothing. */
async function refund(job: Job, { refundPoints: points }: Outcome): Promise<void> {
  const { ledger, alerts } = job.ports
  const { id, number, chargedPoints } = job.run
  try {
    const all = chargedPoints === undefined ? Number.MAX_SAFE_INTEGER : points
    await ledger.refund({ trainingId: id, run: number }, all)
  } catch (error) {
    await alerts.raise(`refund:${id}`, {
      severity: 'critical',
      title: `A refund failed: training ${id}`,
      text: `${points} points could not be returned: ${messageOf(error)}. It is retried until it works.`,
    })
    throw error
  }
  await alerts.clear(`refund:${id}`, `${points} points were returned.`)
}
