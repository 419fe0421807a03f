/** What an operator needs to know of a failure; it goes into the timeline with the `failure` event. */
import type { Failure } from '../failure.ts'
import type { Attempt } from '../trainings/runs.ts'
import { costSoFar } from './cost.ts'
import type { EventData } from './events.ts'
import type { Job } from './job.ts'

/** Causes of causes that are followed. */
const deepest = 8

export function reportOf(job: Job, failure: Failure, attempt = job.run.attempts.at(-1)): EventData {
  const causes = causesOf(failure)
  const stack = causes.at(-1)?.stack
  return {
    reason: failure.reason,
    step: job.step,
    ...(attempt && machineOf(attempt)),
    costUsd: costSoFar(job.run.attempts, job.ports.clock.now()),
    ...(causes.length > 0 && { causes: causes.map(({ name, message }) => `${name}: ${message}`) }),
    ...(stack && { stack }),
    ...(failure.evidence && { evidence: failure.evidence }),
  }
}

function machineOf({ number, name, instanceId, offer }: Attempt): EventData {
  return { attempt: number, machine: instanceId ?? `${name}, not made yet`, offer }
}

/** From the nearest cause to the first. */
function causesOf(error: Error): Error[] {
  const causes: Error[] = []
  for (let { cause } = error; cause !== undefined && causes.length < deepest; ) {
    const known = cause instanceof Error ? cause : new Error(String(cause))
    causes.push(known)
    cause = known.cause
  }
  return causes
}
