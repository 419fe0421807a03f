/**
 * Whether the cloud still has the job's machine. SSH takes a minute to conclude that a silent
 * machine is gone; the cloud knows at once, and why.
 */
import type { MachineState } from '../cloud/machines.ts'
import { Failure } from '../failure.ts'
import { answerWithin, messageOf } from './beside.ts'
import type { Job } from './job.ts'

const answerMs = 60_000
/** A cloud stumbles now and then; after this many unanswered questions in a row an operator should know. */
const worthTelling = 4
const told = new WeakSet<Job>()

/**
 * Looks again and again until the signal aborts. Calls `onGone` once, when the machine ends or has ended; a
 * cloud that does not answer, or knows nothing of the machine, proves nothing. Never rejects.
 */
export async function watchMachine(
  job: Job,
  name: string,
  signal: AbortSignal,
  onGone: (failure: Failure) => void,
): Promise<void> {
  const { machines, clock } = job.ports
  for (let unanswered = 0; ; ) {
    const seen = await clock
      .sleep(job.settings.machineCheckMs, signal)
      .then(() =>
        answerWithin({ clock, signal }, answerMs, 'the question for the machine', () => machines.state(name)),
      )
      .catch(messageOf)
    if (signal.aborted) return
    if (typeof seen === 'string') {
      if (++unanswered === worthTelling) recordUnanswered(job, name, seen)
      continue
    }
    unanswered = 0
    if (seen.state !== 'stopping' && seen.state !== 'terminated') continue
    return onGone(machineLost(seen.instanceId, seen))
  }
}

/** Once a job. */
function recordUnanswered(job: Job, name: string, why: string): void {
  if (told.has(job)) return
  told.add(job)
  job
    .record(
      'warning',
      `the cloud doesn't say whether ${name} still runs (${why}); it is asked again and again`,
    )
    .catch(() => {})
}

/** Runs `work`, and aborts its signal when the machine is gone. Settles at once then, even if `work` does not listen. */
export async function whileItRuns<T>(
  job: Job,
  name: string,
  outer: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const lost = new AbortController()
  const done = new AbortController()
  const gone = new Promise<never>((_, reject) => {
    void watchMachine(job, name, AbortSignal.any([outer, done.signal]), (failure) => {
      lost.abort(failure)
      reject(failure)
    })
  })
  try {
    return await Promise.race([work(AbortSignal.any([outer, lost.signal])), gone])
  } finally {
    done.abort()
  }
}

export function machineLost(instanceId: string, found: MachineState): Failure {
  const why = found.state !== 'absent' && found.reason ? ` (${found.reason})` : ''
  return new Failure('machine-lost', `${instanceId} is ${found.state}${why}`)
}
