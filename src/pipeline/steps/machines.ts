/**
 * One machine after the other until the training is shipped. An attempt is written down before the cloud
 * is asked for anything, and from then on it is torn down whatever happens: by this loop, by `end`, by
 * the next worker to take the job up, or by the reaper. Which offer is next, and what a refusal says of the others:
 * refusals.ts.
 */
import type { Offer } from '../../cloud/machines.ts'
import { Failure } from '../../failure.ts'
import type { Manifest } from '../../models/manifest.ts'
import type { Plan } from '../../recipes/plan.ts'
import { recipes } from '../../recipes/registry.ts'
import { affordableSeconds, committedUsd, reservationUsd } from '../../trainings/cost.ts'
import { type Attempt, nextNumber } from '../../trainings/runs.ts'
import { endings, worthAnotherMachine } from '../endings.ts'
import { type Estimates, estimatesOn } from '../estimates.ts'
import { reportOf } from '../failure-report.ts'
import type { Job } from '../job.ts'
import { findCheckpoint } from './checkpoint.ts'
import { describe, dollars, ordered } from './offer-words.ts'
import { inTurn, isExcluded, refusalsOf, wasRefused, whyNone } from './refusals.ts'
import { mustFitBudget } from './reserve.ts'
import { findManifest } from './ship.ts'
import { tearDown } from './teardown.ts'

export async function runAttempts(
  job: Job,
  plan: Plan,
  work: (attempt: Attempt) => Promise<Manifest>,
): Promise<Manifest> {
  const shipped = await findManifest(job)
  if (shipped) return shipped
  for (;;) {
    const attempt = openAttempt(job) ?? (await nextAttempt(job, plan))
    try {
      const result = await work(attempt)
      // Begun at once, while the model is registered: `end` waits for it.
      void tearDown(job, attempt).catch(() => {})
      return result
    } catch (error) {
      if (!(error instanceof Failure) || job.signal.aborted) throw error
      if (endings[error.reason].resume > 0) throw error // not the machine's fault: taken up again, it goes on
      await recordFailure(job, attempt, error)
      const seen = timesSeen(job, error)
      if (!worthAnotherMachine(error.reason, seen))
        throw error.reason === 'no-capacity' ? roundOver(job) : error
      await tearDown(job, attempt)
    }
  }
}

/** Of refusals, only those of this round count. */
function timesSeen({ run }: Job, { reason }: Failure): number {
  if (reason === 'no-capacity') return refusalsOf(run).length
  return run.attempts.filter(({ failure }) => failure?.reason === reason).length
}

function openAttempt(job: Job): Attempt | undefined {
  return job.run.attempts.find((attempt) => !attempt.failure && !attempt.tornDownAt && !attempt.suspectedLeak)
}

async function nextAttempt(job: Job, plan: Plan): Promise<Attempt> {
  const { machines, clock } = job.ports
  const { attempts } = job.run
  const need = recipes[plan.family].requirements(plan, job.run.base)
  const offers = await machines.offers(need)
  const outOfMemory = attempts.findLast(({ failure }) => failure?.reason === 'out-of-memory')
  const large = offers.filter(({ gpuMemoryGb }) => gpuMemoryGb > (outOfMemory?.offer.gpuMemoryGb ?? 0))
  if (outOfMemory && large.length === 0) throw nothingLarger(outOfMemory, 'is offered')
  const left = large.filter((each) => !isExcluded(each, job.run))
  const [cheapest] = left
  const had = attempts.filter((each) => !wasRefused(each))
  if (had.length >= job.settings.maxAttempts) throw tooManyMachines(had)
  if (!cheapest) throw noCapacity(offers, job, need.gpuMemoryGb)

  const estimates = await estimatesOn(job, plan, left)
  const capUsd = job.run.capUsd ?? (await setCap(job, estimates(cheapest), cheapest))
  const trained = (await findCheckpoint(job))?.step ?? 0
  const leftUsd = capUsd - committedUsd(attempts)
  const payable = left
    .map((offer) => ({ offer, ...timesOn(offer, estimates(offer), trained / plan.steps, leftUsd) }))
    .filter(({ needed, paid }) => needed <= paid)
  const affordable = inTurn(payable, job.run)
  if (!affordable) {
    if (outOfMemory) throw nothingLarger(outOfMemory, 'costs as little as this training may')
    const { needed } = timesOn(cheapest, estimates(cheapest), trained / plan.steps, leftUsd)
    throw tooDear(job, needed, cheapest, leftUsd, capUsd)
  }
  const { offer } = affordable
  const lifetimeSeconds = Math.floor(Math.min(affordable.paid, affordable.needed * job.settings.capFactor))
  const reservedUsd = reservationUsd(lifetimeSeconds, offer.usdPerHour)
  await mustFitBudget(job, reservedUsd)
  const number = nextNumber(job.run)
  const orderedAt = clock.now()
  const attempt: Attempt = {
    number,
    name: `bellows-${job.training.id}-${number}`,
    offer,
    orderedAt,
    lifetimeSeconds,
    deadline: new Date(orderedAt.getTime() + job.settings.limits.ordering + lifetimeSeconds * 1000),
    reservedUsd,
    estimate: estimates(offer).recipe,
  }
  // A job that waits only shows it to who looks now: most of its orders come to nothing. One that is had is told (provision.ts).
  await job.addAttempt(attempt, ordered(attempt), !job.run.waiting)
  return attempt
}

/** The estimate's cost with room for trouble, at most what the offering and the operator allow. */
async function setCap(job: Job, { corrected }: Estimates, offer: Offer): Promise<number> {
  const { settings, training } = job
  const wanted = reservationUsd(corrected.totalSeconds, offer.usdPerHour) * settings.capFactor
  const offering = settings.offerings[training.offeringId ?? '']
  const capUsd = Math.min(wanted, offering?.maxCostUsd ?? Infinity, settings.maxJobUsd)
  await job.change({ capUsd })
  return capUsd
}

/** Seconds that what is left to train needs there, and that the money left pays for. */
function timesOn(
  offer: Offer,
  { corrected }: Estimates,
  trainedShare: number,
  leftUsd: number,
): { needed: number; paid: number } {
  return {
    needed: corrected.totalSeconds - corrected.trainSeconds * Math.min(1, trainedShare),
    paid: affordableSeconds(leftUsd, offer.usdPerHour),
  }
}

async function recordFailure(job: Job, attempt: Attempt, failure: Failure): Promise<void> {
  const { reason, message: detail, excludes } = failure
  const known = job.run.attempts.find(({ number }) => number === attempt.number)
  const message = `attempt ${attempt.number} failed: ${detail}`
  const noted = { reason, detail, at: job.ports.clock.now(), ...(excludes && { excludes }) }
  // A job that waits tries again and again: a refusal like the one before is not history.
  const isHistory = reason !== 'no-capacity' || !job.run.waiting
  const telling = ['failure', message, reportOf(job, failure, known)] as const
  await job.changeAttempt(attempt.number, { failure: noted }, telling, isHistory)
}

/** What the job may cost pays for none of the offers that are left. */
function tooDear(
  { run }: Job,
  seconds: number,
  { usdPerHour }: Offer,
  leftUsd: number,
  capUsd: number,
): Failure {
  const need = `about ${dollars(reservationUsd(seconds, usdPerHour))} would be needed, and ${dollars(Math.max(0, leftUsd))} of ${dollars(capUsd)} is left`
  const refused = refusalsOf(run)
  if (refused.length === 0 && !run.waiting) return new Failure('over-budget', need)
  const why = [whyNone(refused), 'any other would cost more than this training may']
    .filter(Boolean)
    .join('; ')
  return new Failure('no-capacity', why, { evidence: `${list(refused)}\nfor any other machine ${need}` })
}

function roundOver({ run }: Job): Failure {
  const refused = refusalsOf(run)
  return new Failure('no-capacity', whyNone(refused), { evidence: list(refused) })
}

function noCapacity(offers: readonly Offer[], job: Job, memoryGb: number): Failure {
  const { run } = job
  if (offers.length === 0)
    return new Failure('no-capacity', `no machine with a GPU of ${memoryGb} GB is offered`)
  if (refusalsOf(run).length > 0) return roundOver(job)
  const why = 'those that are offered were faulty or taken away'
  return new Failure('no-capacity', why, { evidence: list(run.attempts) })
}

function nothingLarger({ offer, failure }: Attempt, why: string): Failure {
  const detail = failure?.detail ?? 'too little memory'
  return new Failure('out-of-memory', `${detail}; no larger GPU than an ${offer.gpu} ${why}`)
}

/** No wait would help: the last machine's trouble ends the job. */
function tooManyMachines(had: readonly Attempt[]): Failure {
  const reason = had.at(-1)?.failure?.reason ?? 'machine-lost'
  const ending = reason === 'no-capacity' ? 'machine-lost' : reason
  return new Failure(ending, `${had.length} machines were tried`, { evidence: list(had) })
}

function list(attempts: readonly Attempt[]): string {
  return attempts.map(({ offer, failure }) => `${describe(offer)}: ${failure?.detail ?? 'gone'}`).join('\n')
}
