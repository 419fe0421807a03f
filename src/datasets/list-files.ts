/** What a dataset's list of images comes to, before a byte of one is read. */
import PQueue from 'p-queue'
import type { ObjectRef, Store } from '../storage/store.ts'
import { bounds } from './bounds.ts'
import { belongsTo } from './dataset-keys.ts'
import type { Dataset } from './datasets.ts'
import { type DatasetsBucket, locateImage } from './locate.ts'

/** `problem` and `leftOut` complete a sentence that begins with the image's number. */
export type Listed =
  | { readonly ref: ObjectRef; readonly size: number }
  | { readonly problem: string }
  | { readonly leftOut: string }

/** Questions to the store at once. */
const atOnce = 8

export async function listFiles(
  store: Store,
  dataset: Dataset,
  bucket: DatasetsBucket,
  keys: readonly string[],
  signal: AbortSignal,
): Promise<readonly Listed[]> {
  const first = new Map<string, number>()
  const queue = new PQueue({ concurrency: atOnce })
  return Promise.all(
    dataset.images.map(async (image, index): Promise<Listed> => {
      const located = locateImage(image, bucket)
      if ('problem' in located) return located
      const { ref } = located
      if (/(^|\/)\._[^/]*$/.test(ref.key)) return note
      if (!belongsTo(ref.key, dataset, keys)) return missing
      const before = first.get(ref.key)
      if (before !== undefined) return { leftOut: `is the same file as image ${before + 1}: it counts once` }
      first.set(ref.key, index)
      const info = await queue.add(() => store.info(ref), { signal })
      if (!info) return missing
      return info.size > bounds.maxFileBytes
        ? { problem: `has ${megabytes(info.size)} MB, at most ${megabytes(bounds.maxFileBytes)} can be read` }
        : { ref, size: info.size }
    }),
  )
}

const note = { leftOut: 'is a note of macOS about another file: it is left out' } as const

/** The same for a file of another owner: its existence is not disclosed. */
const missing = { problem: 'is missing: the file is not in the store' } as const

export function megabytes(bytes: number): number {
  return Math.ceil(bytes / 1024 / 1024)
}
