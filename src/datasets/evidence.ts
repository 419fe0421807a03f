import { z } from 'zod'
import type { ObjectRef, Store } from '../storage/store.ts'
import type { PreparedDataset } from './prepared-dataset.ts'

/** Where a prepared archive's description is: written after it, so that it is whole where this is there. */
export function evidenceOf(archive: ObjectRef): ObjectRef {
  return { ...archive, key: archive.key.replace(/\.tar$/, '.json') }
}

const preparedSchema = z.object({
  ref: z.object({ bucket: z.literal('work'), key: z.string() }),
  size: z.int().positive(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  images: z.int().positive(),
  clips: z.int().min(0),
  captions: z.array(z.string()),
  warnings: z.array(z.string()),
  /** None of a release that kept none. */
  names: z.array(z.string()).default([]),
})

/** Undefined where there is none yet; rejects where it can't be read. */
export async function readEvidence(store: Store, archive: ObjectRef): Promise<PreparedDataset | undefined> {
  if (!(await store.info(evidenceOf(archive)))) return undefined
  return preparedSchema.parse(JSON.parse((await store.read(evidenceOf(archive))).toString()))
}
