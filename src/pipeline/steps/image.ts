import { pinned } from '../../remote/image-name.ts'
import type { Job } from '../job.ts'
import { imageOf } from './prepare.ts'

/** What the machine is told to pull and to run: once a machine has resolved the tag, that very image. */
export function imageToRun(job: Job): string {
  const { imageDigest } = job.run
  return imageDigest === undefined ? imageOf(job) : pinned(imageOf(job), imageDigest)
}
