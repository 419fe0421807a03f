import type { Job } from '../job.ts'
import type { LimitedPhase } from '../limits.ts'
import { whileItRuns } from '../machine-watch.ts'

/** One phase's work on the newest attempt's machine: under its limit, and given up as soon as the machine is gone. */
export function onMachine<T>(
  job: Job,
  phase: LimitedPhase,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const name = job.run.attempts.at(-1)?.name ?? ''
  return job.within(phase, (signal) => whileItRuns(job, name, signal, work))
}
