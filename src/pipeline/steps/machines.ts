/**
 * One machine after the other until the training is shipped. An attempt is written down before the cloud
 * is asked for anything, and from then on it is torn down whatever happens: by this loop, by `end`, by
 * whoever takes the job up again, or by the reaper.
 */
import type { Offer } from '../../cloud/machines.ts'
import { Failure } from '../../failure.ts'
import type { Plan } from '../../recipes/plan.ts'
import { recipes } from '../../recipes/registry.ts'
import { type Attempt, allAttempts } from '../../trainings/runs.ts'
import { affordableSeconds, committedUsd, reservationUsd } from '../cost.ts'
import { endings, worthAnotherMachine } from '../endings.ts'
import { type Estimates, estimatesOn } from '../estimates.ts'
import { reportOf } from '../failure-report.ts'
import type { Job } from '../job.ts'
import { findCheckpoint } from './checkpoint.ts'
import { mustFitBudget } from './reserve.ts'
import { findShipped, type Shipped } from './ship.ts'
import { tearDown } from './teardown.ts'

export async function onSomeMachine(
  job: Job,
  plan: Plan,
  work: (attempt: Attempt) => Promise<Shipped>,
): Promise<Shipped> {
  const shipped = await findShipped(job)
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
      const seen = job.run.attempts.filter((each) => each.failure?.reason === error.reason).length
      if (!worthAnotherMachine(error.reason, seen)) throw error
      await tearDown(job, attempt)
    }
  }
}

function openAttempt(job: Job): Attempt | undefined {
  return job.run.attempts.find((attempt) => !attempt.failure && !attempt.tornDownAt && !attempt.suspectedLeak)
}

async function nextAttempt(job: Job, plan: Plan): Promise<Attempt> {
  const { machines, clock } = job.ports
  const { attempts } = job.run
  const need = recipes[plan.family].need(plan, job.run.base)
  const offers = await machines.offers(need)
  const left = offers.filter((each) => !isSpoiled(each, attempts))
  const [cheapest] = left
  const ordered = attempts.filter(({ failure }) => failure?.reason !== 'budget-used-up')
  if (!cheapest || ordered.length >= job.settings.maxAttempts)
    throw noCapacity(offers, attempts, need.gpuMemoryGb)

  const estimates = await estimatesOn(job, plan, left)
  const capUsd = job.run.capUsd ?? (await setCap(job, estimates(cheapest), cheapest))
  const trained = (await findCheckpoint(job))?.step ?? 0
  const leftUsd = capUsd - committedUsd(attempts)
  const affordable = left
    .map((offer) => ({ offer, ...timesOn(offer, estimates(offer), trained / plan.steps, leftUsd) }))
    .find(({ needed, paid }) => needed <= paid)
  if (!affordable) {
    const { needed } = timesOn(cheapest, estimates(cheapest), trained / plan.steps, leftUsd)
    throw tooDear(attempts, needed, cheapest, leftUsd, capUsd)
  }
  const { offer } = affordable
  const lifetimeSeconds = Math.floor(Math.min(affordable.paid, affordable.needed * job.settings.capFactor))
  const reservedUsd = reservationUsd(lifetimeSeconds, offer.usdPerHour)
  await mustFitBudget(job, reservedUsd)
  const number = allAttempts(job.run).length + 1 // its name must never have been another's
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
  await job.addAttempt(attempt)
  await job.tell('attempt', `attempt ${number}: ${describe(offer)}`, {
    number,
    offer,
    deadline: attempt.deadline,
  })
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

/** Not to be tried again in this job: it had no capacity, was faulty, or was taken away twice. */
function isSpoiled(offer: Offer, attempts: readonly Attempt[]): boolean {
  const same = attempts.filter(
    ({ offer: tried }) =>
      tried.type === offer.type && tried.zone === offer.zone && tried.market === offer.market,
  )
  const count = (reason: string) => same.filter(({ failure }) => failure?.reason === reason).length
  return count('no-capacity') + count('machine-broken') > 0 || count('machine-lost') > 1
}

async function recordFailure(job: Job, attempt: Attempt, failure: Failure): Promise<void> {
  const { reason, message: detail } = failure
  const known = job.run.attempts.find(({ number }) => number === attempt.number)
  await job.changeAttempt(attempt.number, { failure: { reason, detail } })
  await job.tell('failure', `attempt ${attempt.number} failed: ${detail}`, reportOf(job, failure, known))
}

/** What the job may cost pays for none of the offers that are left. */
function tooDear(
  attempts: readonly Attempt[],
  seconds: number,
  { usdPerHour }: Offer,
  leftUsd: number,
  capUsd: number,
): Failure {
  const need = `about ${dollars(reservationUsd(seconds, usdPerHour))} would be needed, and ${dollars(Math.max(0, leftUsd))} of ${dollars(capUsd)} is left`
  const tried = attempts.filter(({ failure }) => failure?.reason === 'no-capacity')
  if (tried.length === 0) return new Failure('over-budget', need)
  return new Failure('no-capacity', `tried ${list(tried)}; for any other machine ${need}`)
}

function noCapacity(offers: readonly Offer[], attempts: readonly Attempt[], memoryGb: number): Failure {
  if (offers.length === 0) return new Failure('no-capacity', `no offer has a GPU with ${memoryGb} GB`)
  return new Failure('no-capacity', `tried ${list(attempts)}`)
}

function list(attempts: readonly Attempt[]): string {
  return attempts.map(({ offer, failure }) => `${describe(offer)}: ${failure?.detail ?? 'gone'}`).join('; ')
}

function describe({ type, zone, market, gpu, usdPerHour }: Offer): string {
  return `${type} (${gpu}) in ${zone}, ${market}, ${dollars(usdPerHour)}/h`
}

function dollars(usd: number): string {
  return `$${usd.toFixed(2)}`
}
