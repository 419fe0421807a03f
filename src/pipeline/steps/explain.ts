/**
 * Why things failed: how a trainer ended, by the container's contract (64 refused, 65 diverged, 66 memory, 67
 * disk), and what is left on the machine to tell of it.
 */
import { Failure, type Reason } from '../../failure.ts'
import type { TrainerLine } from '../../recipes/trainer-line.ts'
import type { TrainerExit } from '../../remote/host.ts'
import type { Job } from '../job.ts'

/** A trainer that was told to stop, and saved a checkpoint. */
export const stoppedExitCode = 75

const reasonByExitCode: Readonly<Record<number, Reason>> = {
  64: 'trainer-refused',
  65: 'trainer-diverged',
  66: 'out-of-memory',
  67: 'disk-full',
}

export type Complaint = TrainerLine & { readonly type: 'error' }

export function explainExit(exit: TrainerExit, complaint: Complaint | undefined): Failure {
  const evidence = exit.tail.join('\n')
  if (exit.exitCode === stoppedExitCode)
    return new Failure('machine-lost', 'the trainer was stopped by its machine', { evidence })
  const reason = exit.outOfMemory ? 'out-of-memory' : (reasonByExitCode[exit.exitCode] ?? 'trainer-crashed')
  const unsaid = exit.outOfMemory
    ? 'the container was killed for its memory'
    : `container exited with ${exit.exitCode}`
  return new Failure(reason, complaint?.message || unsaid, { evidence })
}

/** Waiting for evidence keeps a machine that is paid for. */
const evidenceMs = 30_000

/** The same failure with what `look` finds: log, kernel messages, GPU, disk. */
export async function withEvidence(
  job: Job,
  failure: Failure,
  look: () => Promise<string>,
): Promise<Failure> {
  const done = new AbortController()
  const tooLate = job.ports.clock.sleep(evidenceMs, done.signal).then(() => 'no evidence came within 30 s')
  const found = await Promise.race([look(), tooLate]).catch((error: Error) => `no evidence: ${error.message}`)
  done.abort()
  const evidence = [failure.evidence, found].filter(Boolean).join('\n\n')
  return new Failure(failure.reason, failure.message, { evidence, cause: failure.cause })
}

/** For a machine that SSH does not reach, or not any more. */
export async function consoleOf(job: Job): Promise<string> {
  const name = job.run.attempts.at(-1)?.name ?? ''
  const text =
    (await job.ports.machines.console(name)) ?? 'nothing was written to it, or nothing is known of it'
  return `== console\n${text.trim()}`
}
