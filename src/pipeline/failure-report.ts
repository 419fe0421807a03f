/** What an operator needs to know of a failure; it goes into the timeline with the `failure` event. */
import type { Failure } from '../failure.ts'
import { costSoFar } from '../trainings/cost.ts'
import type { Attempt } from '../trainings/runs.ts'
import type { EventData } from './events.ts'
import type { Job } from './job.ts'

/** What is kept of each section of the evidence: a log tells at its end what went wrong. */
const keptLines = 40
const keptCharacters = 16 * 1024

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
    ...(failure.evidence && { evidence: cut(failure.evidence) }),
  }
}

function machineOf({ number, name, instanceId, offer }: Attempt): EventData {
  return { attempt: number, machine: instanceId ?? `${name}, not made yet`, offer }
}

/** Sections begin with a line `== title`; evidence may also have none. */
function cut(evidence: string): string {
  return evidence
    .split(/^(?=== )/m)
    .map((section) => {
      const lines = section.trimEnd().split('\n')
      const title = lines[0]?.startsWith('== ') ? `${lines.shift()}\n` : ''
      return title + lines.slice(-keptLines).join('\n').slice(-keptCharacters)
    })
    .join('\n\n')
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
