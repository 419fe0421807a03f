import { Failure } from '../../failure.ts'
import { pinned } from '../../registries/image-name.ts'
import type { Job } from '../job.ts'
import { imageOf } from './prepare.ts'

/** What the machine is told to pull and to run: once a machine has resolved the tag, that very image. */
export function imageToRun(job: Job): string {
  const { imageDigest } = job.run
  return imageDigest === undefined ? imageOf(job) : pinned(imageOf(job), imageDigest)
}

/** Before anything is charged or rented for it: a registry that says no would say so to every machine. */
export async function mustBeHandedOut(job: Job): Promise<void> {
  await job.ports.checkImage(imageToRun(job), job.signal).catch((error) => {
    throw ownImageRefused(job, error) ?? error
  })
}

/** An unavailable image that the job itself has named is its owner's fault, and costs its owner the machine. */
export function ownImageRefused({ training, run }: Job, error: unknown): Failure | undefined {
  if (!(error instanceof Failure) || error.reason !== 'image-refused') return undefined
  if (training.overrides.trainerImage !== run.image) return undefined
  return new Failure('trainer-refused', error.message, {
    cause: error,
    ...(error.evidence !== undefined && { evidence: error.evidence }),
  })
}
