/**
 * What people call the files that a trainer knows by number: it says `Clip 00003.mp4`, and its owner has a `beach.mov`.
 * The names stay out of the container, as any trainer may be in it; they are put in where its words come out.
 */
import { readEvidence } from '../../datasets/evidence.ts'
import type { Job } from '../job.ts'
import { datasetRef } from '../steps/prepared-dataset.ts'

export type WithFileNames = (message: string) => string

/** Numbers stay where the names are not to be had, and in trainings of others than the dataset's owner, who keeps its names. */
export async function fileNames(job: Job): Promise<WithFileNames> {
  const { terms } = job.run
  if (terms?.creatorAccountId !== undefined && terms.creatorAccountId !== terms.ownerAccountId)
    return (message) => message
  const prepared = await readEvidence(job.ports.store, datasetRef(job)).catch(() => undefined)
  return withFileNames(prepared?.names ?? [])
}

/** @param names Of the first file, the second … */
export function withFileNames(names: readonly string[]): WithFileNames {
  return (message) =>
    message.replace(/\b(\d{5})\.(?:jpg|png|mp4|webm)\b/g, (file, number) => names[Number(number) - 1] ?? file)
}
