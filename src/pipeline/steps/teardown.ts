/**
 * The end of a machine. It can't be cancelled, has a limit of its own, and is only recorded when the
 * machine was seen terminated and its stack is gone. What can't be proved is a suspected leak: an operator is
 * told, and the reaper goes on until it is.
 */
import type { Clock } from '../../clock.ts'
import type { Released } from '../../cloud/machines.ts'
import { closedBooks } from '../../trainings/cost.ts'
import { type Attempt, LeaseLost } from '../../trainings/runs.ts'
import type { Job } from '../job.ts'
import { within } from '../limits.ts'
import { gone } from './offer-words.ts'

/** Pauses between tries, in milliseconds: a cloud that stumbles once is no reason to wake an operator. */
const pauses = [2_000, 10_000] as const

const underWay = new WeakMap<Job, Map<number, Promise<void>>>()

/** Safe to call as often as one likes; one teardown of an attempt is under way at a time. */
export function tearDown(job: Job, attempt: Attempt): Promise<void> {
  const ofJob = underWay.get(job) ?? new Map<number, Promise<void>>()
  underWay.set(job, ofJob)
  const forget = () => ofJob.delete(attempt.number)
  const teardown = ofJob.get(attempt.number) ?? release(job, attempt).finally(forget)
  ofJob.set(attempt.number, teardown)
  return teardown
}

/** Releasing a job waits for running teardowns: they would otherwise write beside its next worker. */
export async function finishTeardowns(job: Job): Promise<void> {
  await Promise.allSettled(underWay.get(job)?.values() ?? [])
}

/** Every machine of the job gone and told of, and its cost in the budgets: a settled one is settled again, to no effect. */
export async function tearDownAll(job: Job): Promise<void> {
  const begun = underWay.get(job)
  await Promise.all(
    job.run.attempts
      .filter(({ tornDownAt, number }) => !tornDownAt || begun?.has(number))
      .map((each) => tearDown(job, each)),
  )
  for (const { name, costUsd } of job.run.attempts) {
    if (costUsd !== undefined) await job.ports.budget.settle(name, costUsd)
  }
}

async function release(job: Job, attempt: Attempt): Promise<void> {
  const { machines, budget, clock, alerts } = job.ports
  const unstoppable = new AbortController().signal
  let released: Released
  try {
    released = await within('teardown', job.settings.limits.teardown, clock, unstoppable, (signal) =>
      insist(() => machines.release(attempt.name), clock, signal),
    )
  } catch (error) {
    if (error instanceof LeaseLost) throw error
    const cause = error instanceof Error ? error.message : String(error)
    const doubt = `attempt ${attempt.number}: the machine may still exist`
    await job.changeAttempt(attempt.number, { suspectedLeak: true }, ['warning', doubt, { cause }])
    await alerts.raise(`leak:${attempt.name}`, {
      severity: 'critical',
      title: `${attempt.name} may still be running`,
      text: `Teardown of ${attempt.instanceId ?? 'a machine whose id is unknown'} (${attempt.offer.type}, ${attempt.offer.zone}) could not be proved: ${cause}. The reaper goes on trying.`,
    })
    return
  }
  const known = job.run.attempts.find(({ number }) => number === attempt.number) ?? attempt
  const books = closedBooks(known, released, clock.now())
  const costUsd = await budget.settle(attempt.name, books.costUsd)
  if (released.warning) await job.record('warning', released.warning)
  await alerts.clear(`leak:${attempt.name}`, `${attempt.name} is gone.`)
  const isHistory = books.launchedAt !== undefined || !job.run.waiting
  await job.changeAttempt(attempt.number, { ...books, costUsd }, gone(attempt.number, costUsd), isHistory)
}

async function insist<T>(work: () => Promise<T>, clock: Clock, signal: AbortSignal): Promise<T> {
  for (const pause of pauses) {
    try {
      return await work()
    } catch (error) {
      if (error instanceof LeaseLost) throw error
      await clock.sleep(pause, signal)
    }
  }
  return await work()
}
