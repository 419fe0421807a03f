/**
 * From a dataset's document to the archive that a trainer gets, in the work bucket: its images, and its clips
 * where the family learns from them (what a file is, its bytes say and not its name). Evidence that it is
 * done: `dataset.json`, written after the archive. Everything that is wrong with the images is found in
 * one pass and told in one sentence, so that nobody has to mend a dataset one image at a time.
 */
import { rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { basename, join } from 'node:path'
import { z } from 'zod'
import { Failure } from '../failure.ts'
import type { PrepareDataset, PreparedDataset } from '../pipeline/ports.ts'
import type { Recipe } from '../recipes/recipe.ts'
import { printable } from '../recipes/trainer-line.ts'
import type { ObjectRef, Store } from '../storage/store.ts'
import { makeTemporaryFolder } from '../temporary-folder.ts'
import { cleanCaptions } from './captions.ts'
import { type Inspected, imageBounds, inspectImage } from './inspect.ts'
import { clipContainer, type InspectedClip, inspectClip } from './inspect-clip.ts'
import { type DatasetsBucket, locateImage } from './locate.ts'
import { type Entry, packDataset } from './pack.ts'

export type PrepareOptions = {
  readonly store: Store
  readonly bucket: DatasetsBucket
  /** Images decoded at once. Default: one a core. */
  readonly atOnce?: number
  /** Where the archive is written before it is uploaded. Default: the system's temporary folder. */
  readonly temporaryFolder?: string
}

/** `leftOut` completes a sentence as `problem` does, but refuses this file and not the whole dataset. */
type Found = Inspected | InspectedClip | { readonly leftOut: string }

/** Problems that are told one by one; the rest is counted. */
const mostTold = 3

export function datasetPreparer(options: PrepareOptions): PrepareDataset {
  const { store, bucket, atOnce = availableParallelism(), temporaryFolder } = options

  return async (trainingId, dataset, limits, signal) => {
    const ref: ObjectRef = { bucket: 'work', key: `jobs/${trainingId}/dataset.tar` }
    const before = await findPrepared(store, ref)
    if (before) return before

    checkCount(dataset.images.length, limits.images)
    const { captions, warnings } = cleanCaptions(dataset.captions, dataset.images.length)
    const folder = await makeTemporaryFolder('dataset', temporaryFolder)
    try {
      const path = join(folder, 'dataset.tar')
      const told = [...warnings]
      const entries = cleanImages(dataset.images, captions, told)
      const packed = await packDataset(entries, path)
      await store.writeFile(ref, path, 'application/x-tar')
      const prepared: PreparedDataset = { ref, ...packed, warnings: told }
      await store.write(evidenceOf(ref), JSON.stringify(prepared), 'application/json')
      return prepared
    } finally {
      await rm(folder, { recursive: true, force: true })
    }

    /** Throws when all have been seen and one was not fit. */
    async function* cleanImages(
      images: readonly string[],
      captions: readonly string[],
      warnings: string[],
    ): AsyncGenerator<Entry> {
      const problems: string[] = []
      let leftOut = 0
      let index = 0
      for await (const inspected of inOrder(images, atOnce, (image) => fetchAndInspect(image, limits))) {
        signal.throwIfAborted()
        const name = nameOf(index, images[index] ?? '')
        const caption = captions[index] ?? ''
        index++
        if ('problem' in inspected) {
          problems.push(`${name} ${inspected.problem}`)
          continue
        }
        if ('leftOut' in inspected) {
          warnings.push(`${name} ${inspected.leftOut}.`)
          leftOut++
          continue
        }
        warnings.push(...inspected.warnings.map((warning) => `${name} ${warning}.`))
        if (problems.length === 0) yield { ...inspected, caption }
      }
      if (problems.length > 0) throw new Failure('bad-dataset', inOneSentence(problems))
      if (leftOut > 0) checkCount(images.length - leftOut, limits.images, ' that this model can learn from')
    }
  }

  async function fetchAndInspect(image: string, limits: Recipe['limits']): Promise<Found> {
    const located = locateImage(image, bucket)
    if ('problem' in located) return located
    const info = await store.info(located.ref)
    if (!info) return { problem: 'is missing: the file is not in the store' }
    if (info.size > imageBounds.maxBytes) {
      const megabytes = (bytes: number) => Math.round(bytes / 1024 / 1024)
      return {
        problem: `has ${megabytes(info.size)} MB, at most ${megabytes(imageBounds.maxBytes)} can be read`,
      }
    }
    const bytes = await store.read(located.ref, { maxBytes: imageBounds.maxBytes })
    const container = clipContainer(bytes)
    if (container === undefined) return inspectImage(bytes, limits)
    if (limits.clips) return inspectClip(bytes, container, limits.minSide, limits.clips)
    return { leftOut: 'is a clip, and this model learns from images: it is left out' }
  }
}

const preparedSchema = z.object({
  ref: z.object({ bucket: z.literal('work'), key: z.string() }),
  size: z.int().positive(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  images: z.int().positive(),
  clips: z.int().min(0),
  captions: z.array(z.string()),
  warnings: z.array(z.string()),
})

async function findPrepared(store: Store, ref: ObjectRef): Promise<PreparedDataset | undefined> {
  if (!(await store.info(evidenceOf(ref)))) return undefined
  const prepared = preparedSchema.parse(JSON.parse((await store.read(evidenceOf(ref))).toString()))
  const stored = await store.info(ref)
  return stored?.size === prepared.size ? prepared : undefined
}

function evidenceOf(archive: ObjectRef): ObjectRef {
  return { ...archive, key: archive.key.replace(/\.tar$/, '.json') }
}

function checkCount(count: number, { min, max }: Recipe['limits']['images'], which = ''): void {
  if (count >= min && count <= max) return
  const needed = count < min ? `at least ${min} are needed` : `at most ${max} can be trained on`
  throw new Failure('bad-dataset', `it has ${count} ${count === 1 ? 'image' : 'images'}${which}; ${needed}`)
}

/** Results in the order of the items, with at most `atOnce` under way: what is done early waits. */
export async function* inOrder<T, R>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const underWay: Promise<R>[] = []
  for (const item of items) {
    const result = work(item)
    result.catch(() => {}) // thrown where it is awaited
    underWay.push(result)
    if (underWay.length >= atOnce) yield await (underWay.shift() as Promise<R>)
  }
  for (const result of underWay) yield await result
}

/** `image 3 (red-kite.jpg)`: people count from one, and know their files by name. */
function nameOf(index: number, image: string): string {
  const path = printable(image.split(/[?#]/)[0] ?? '')
  return `image ${index + 1} (${printable(basename(path)).slice(0, 60) || 'no name'})`
}

function inOneSentence(problems: readonly string[]): string {
  const told = problems.slice(0, mostTold)
  const others = problems.length - told.length
  return others > 0 ? `${told.join('; ')}; and ${others} more` : told.join('; ')
}
