import { Failure } from '../../failure.ts'
import type { Job } from '../job.ts'
import type { LimitedPhase } from '../limits.ts'
import { whileItRuns } from '../machine-watch.ts'
import { consoleOf, withEvidence } from './explain.ts'

/**
 * One phase's work on the newest attempt's machine: under its limit, given up as soon as the machine is gone, and
 * if it fails, with what `look` finds there.
 */
export async function onMachine<T>(
  job: Job,
  phase: LimitedPhase,
  look: () => Promise<string>,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const name = job.run.attempts.at(-1)?.name ?? ''
  try {
    return await job.within(phase, (signal) => whileItRuns(job, name, signal, work))
  } catch (error) {
    if (!(error instanceof Failure) || job.signal.aborted) throw error
    throw await withEvidence(job, error, error.reason === 'machine-lost' ? () => consoleOf(job) : look)
  }
}
