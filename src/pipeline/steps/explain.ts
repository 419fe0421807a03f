/** Why a trainer ended as it did, by the container's contract: 64 refused, 65 diverged, 66 memory, 67 disk. */
import { Failure, type Reason } from '../../failure.ts'
import type { TrainerLine } from '../../recipes/trainer-line.ts'
import type { Host, TrainerExit } from '../../remote/host.ts'

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

/** The same failure with what is left on the machine: log, kernel messages, GPU, disk. */
export async function withEvidence(failure: Failure, host: Host, container: string): Promise<Failure> {
  const found = await host.evidence(container)
  const evidence = [failure.evidence, found].filter(Boolean).join('\n\n')
  return new Failure(failure.reason, failure.message, { evidence, cause: failure.cause })
}
