/**
 * One machine after the other until the training is shipped. An attempt is written down before the cloud
 * is asked for anything, and from then on it is torn down whatever happens: by this loop, by `end`, by
 * whoever takes the job up again, or by the reaper.
 */
import { timesL4 } from '../../cloud/gpu-types.ts'
import type { Offer } from '../../cloud/machines.ts'
import { Failure } from '../../failure.ts'
import type { Plan } from '../../recipes/plan.ts'
import { recipes } from '../../recipes/registry.ts'
import type { Attempt } from '../../trainings/runs.ts'
import { affordableSeconds, committedUsd, reservationUsd } from '../cost.ts'
import { worthAnotherMachine } from '../endings.ts'
import type { Job } from '../job.ts'
import { findCheckpoint } from './checkpoint.ts'
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
  const need = recipes[plan.family].need(plan)
  const offers = await machines.offers(need)
  const offer = offers.find((each) => !isSpoiled(each, attempts))
  if (!offer || attempts.length >= job.settings.maxAttempts)
    throw noCapacity(offers, attempts, need.gpuMemoryGb)

  const seconds = await secondsOn(job, plan, offer)
  const number = attempts.length + 1
  const orderedAt = clock.now()
  const attempt: Attempt = {
    number,
    name: `bellows-${job.training.id}-${number}`,
    offer,
    orderedAt,
    deadline: new Date(orderedAt.getTime() + seconds * 1000),
    reservedUsd: reservationUsd(seconds, offer.usdPerHour),
  }
  await job.addAttempt(attempt)
  await job.tell('attempt', `attempt ${number}: ${describe(offer)}`, {
    number,
    offer,
    deadline: attempt.deadline,
  })
  return attempt
}

/** How long a machine of this offer may run: long enough to be done, and no longer than the cap pays. */
async function secondsOn(job: Job, plan: Plan, offer: Offer): Promise<number> {
  const estimate = recipes[plan.family].estimate(plan, { gpu: offer.gpu, timesL4: timesL4(offer.gpu) })
  const trained = (await findCheckpoint(job))?.step ?? 0
  const needed = estimate.totalSeconds - estimate.trainSeconds * Math.min(1, trained / plan.steps)
  if (job.run.capUsd === undefined) {
    const wanted = reservationUsd(estimate.totalSeconds, offer.usdPerHour) * job.settings.capFactor
    const offering = job.settings.offerings[job.training.offeringId ?? '']
    await job.change({ capUsd: Math.min(wanted, offering?.maxCostUsd ?? Infinity, job.settings.maxJobUsd) })
  }
  const cap = job.run.capUsd ?? 0
  const left = cap - committedUsd(job.run.attempts)
  const affordable = affordableSeconds(left, offer.usdPerHour)
  if (affordable < needed) {
    throw new Failure(
      'over-budget',
      `the machine would need about ${dollars(reservationUsd(needed, offer.usdPerHour))} and ${dollars(Math.max(0, left))} of ${dollars(cap)} is left`,
    )
  }
  return Math.floor(Math.min(affordable, needed * job.settings.capFactor))
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
  const { reason, message: detail, evidence } = failure
  await job.changeAttempt(attempt.number, { failure: { reason, detail } })
  await job.tell('failure', `attempt ${attempt.number} failed: ${detail}`, {
    number: attempt.number,
    reason,
    ...(evidence && { evidence }),
    ...(failure.cause instanceof Error && { cause: failure.cause.message }),
  })
}

function noCapacity(offers: readonly Offer[], attempts: readonly Attempt[], memoryGb: number): Failure {
  if (offers.length === 0) return new Failure('no-capacity', `no offer has a GPU with ${memoryGb} GB`)
  const tried = attempts.map(({ offer, failure }) => `${describe(offer)}: ${failure?.detail ?? 'gone'}`)
  return new Failure('no-capacity', `tried ${tried.join('; ')}`)
}

function describe({ type, zone, market, gpu, usdPerHour }: Offer): string {
  return `${type} (${gpu}) in ${zone}, ${market}, ${dollars(usdPerHour)}/h`
}

function dollars(usd: number): string {
  return `$${usd.toFixed(2)}`
}
