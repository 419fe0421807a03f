/**
 * From a dataset's document to the archive that a trainer gets, in the work bucket: its images, and its clips
 * where the family learns from them (what a file is, its bytes say and not its name). Evidence that it is
 * done: `dataset.json`, written after the archive. Everything that is wrong with the images is found in
 * one pass and told in one sentence, so that a dataset need not be mended one image at a time.
 */
import { lstat, rm, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { basename, join } from 'node:path'
import { Failure } from '../failure.ts'
import type { Recipe } from '../recipes/recipe.ts'
import type { ObjectRef, Store } from '../storage/store.ts'
import { makeTemporaryFolder } from '../temporary-folder.ts'
import { cut, printable } from '../text.ts'
import { bounds } from './bounds.ts'
import { cleanCaptions } from './captions.ts'
import { defaultKeyPrefixes } from './dataset-keys.ts'
import { evidenceOf, readEvidence } from './evidence.ts'
import { createInspector, type Inspected, type Inspector } from './inspector.ts'
import { type Listed, listFiles, megabytes } from './list-files.ts'
import { type DatasetsBucket, longestAddress } from './locate.ts'
import { type Entry, packDataset } from './pack.ts'
import type { PrepareDataset, PreparedDataset } from './prepared-dataset.ts'

export type PrepareOptions = {
  readonly store: Store
  readonly bucket: DatasetsBucket
  /** Prefixes of a dataset's files, as in dataset-keys.ts. Default: defaultKeyPrefixes. */
  readonly keys?: readonly string[]
  /** One for all jobs of a worker. Default: one of this preparer's own. */
  readonly inspector?: Inspector
  /** Files of one dataset under way at once. Default: one a core. */
  readonly atOnce?: number
  /** Bytes of all files of a dataset. Default: bounds.maxDatasetBytes. */
  readonly maxDatasetBytes?: number
  /** Where the files and the archive are while they are worked on. Default: the system's temporary folder. */
  readonly temporaryFolder?: string
}

type Clean = Omit<Entry, 'caption'> & { readonly warnings: readonly string[] }

type Found = Clean | Exclude<Inspected, { readonly clean: string }>

/** Problems, or files that are left out, that are told one by one; the rest is counted. */
const mostTold = 3

export function datasetPreparer(options: PrepareOptions): PrepareDataset {
  const { store, bucket, atOnce = availableParallelism(), temporaryFolder } = options
  const { keys = defaultKeyPrefixes, maxDatasetBytes = bounds.maxDatasetBytes } = options
  const inspector = options.inspector ?? createInspector()

  return async (trainingId, dataset, limits, signal) => {
    const ref: ObjectRef = { bucket: 'work', key: `jobs/${trainingId}/dataset.tar` }
    const before = await findPrepared(store, ref)
    if (before) return before

    signal.throwIfAborted()
    checkCount(dataset.images.length, limits.images)
    const { captions, warnings } = cleanCaptions(dataset.captions, dataset.images.length)
    const listed = await listFiles(store, dataset, bucket, keys, signal)
    checkSize(listed, maxDatasetBytes)
    const folder = await makeTemporaryFolder('dataset', temporaryFolder)
    const stop = new AbortController()
    try {
      const path = join(folder, 'dataset.tar')
      const told = [...warnings]
      const names: string[] = []
      const packed = await packDataset(cleanImages(told, names, AbortSignal.any([signal, stop.signal])), path)
      await store.writeFile(ref, path, 'application/x-tar')
      const prepared: PreparedDataset = { ref, ...packed, warnings: told, names }
      await store.write(evidenceOf(ref), JSON.stringify(prepared), 'application/json')
      return prepared
    } finally {
      stop.abort()
      await rm(folder, { recursive: true, force: true, maxRetries: 3 })
    }

    /** Throws when all have been seen and one was not fit. */
    async function* cleanImages(told: string[], names: string[], signal: AbortSignal): AsyncGenerator<Entry> {
      const problems: string[] = []
      const leftOut: string[] = []
      let stopped = 0
      let index = 0
      const work = (each: Listed, at: number) =>
        'ref' in each ? fetchAndInspect(each.ref, join(folder, `${at}`), limits, signal) : each
      for await (const found of inOrder(listed, atOnce, async (each, at) => work(each, at))) {
        signal.throwIfAborted()
        const own = ownName(dataset.images[index] ?? '')
        const name = `image ${index + 1} (${own})`
        const caption = captions[index] ?? ''
        index++
        if ('stopped' in found) {
          problems.push(`${name} ${found.stopped}`)
          if (++stopped < bounds.stoppedFiles) continue
          throw new Failure('bad-dataset', `${inOneSentence(problems)}; the rest was not looked at`)
        }
        if ('problem' in found) problems.push(`${name} ${found.problem}`)
        else if ('leftOut' in found) leftOut.push(`${name} ${found.leftOut}.`)
        else {
          told.push(...found.warnings.map((warning) => `${name} ${warning}.`))
          names.push(own)
          if (problems.length === 0) yield { ...found, caption }
          await rm(found.path, { force: true })
        }
      }
      if (problems.length > 0) throw new Failure('bad-dataset', inOneSentence(problems))
      if (leftOut.length === 0) return
      told.push(...leftOut.slice(0, mostTold))
      if (leftOut.length > mostTold) told.push(`${leftOut.length - mostTold} more images are left out.`)
      checkCount(listed.length - leftOut.length, limits.images, ' that this model can learn from')
    }
  }

  /** Once it is at the head of the queue: at no time are there more files in memory than children. */
  function fetchAndInspect(
    ref: ObjectRef,
    path: string,
    limits: Recipe['limits'],
    signal: AbortSignal,
  ): Promise<Found> {
    return inspector.turn(async (inspect) => {
      await writeFile(path, await store.read(ref, { maxBytes: bounds.maxFileBytes }))
      const cleanPath = `${path}.clean`
      const found = await inspect({ path, cleanPath, limits })
      if (!('clean' in found)) {
        await Promise.all([path, cleanPath].map((each) => rm(each, { force: true })))
        return found
      }
      const { extension, warnings } = found
      if (found.clean === 'written') await rm(path)
      const kept = found.clean === 'written' ? cleanPath : path
      const { size } = await lstat(kept)
      return { path: kept, size, extension, warnings }
    }, signal)
  }
}

/** Undefined where it has to be made (again). */
async function findPrepared(store: Store, ref: ObjectRef): Promise<PreparedDataset | undefined> {
  const prepared = await readEvidence(store, ref)
  const stored = prepared && (await store.info(ref))
  return stored?.size === prepared?.size ? prepared : undefined
}

function checkCount(count: number, { min, max }: Recipe['limits']['images'], which = ''): void {
  if (count >= min && count <= max) return
  const needed = count < min ? `at least ${min} are needed` : `at most ${max} can be trained on`
  throw new Failure('bad-dataset', `it has ${count} ${count === 1 ? 'image' : 'images'}${which}; ${needed}`)
}

function checkSize(listed: readonly Listed[], most: number): void {
  const total = listed.reduce((sum, each) => sum + ('size' in each ? each.size : 0), 0)
  if (total <= most) return
  throw new Failure(
    'bad-dataset',
    `its files have ${megabytes(total)} MB together; at most ${megabytes(most)} MB can be trained on`,
  )
}

/** Results in the order of the items, with at most `atOnce` under way: what is done early waits. */
export async function* inOrder<T, R>(
  items: readonly T[],
  atOnce: number,
  work: (item: T, index: number) => Promise<R>,
): AsyncGenerator<R> {
  const underWay: Promise<R>[] = []
  for (const [index, item] of items.entries()) {
    const result = work(item, index)
    result.catch(() => {}) // thrown where it is awaited
    underWay.push(result)
    if (underWay.length >= atOnce) yield await (underWay.shift() as Promise<R>)
  }
  for (const result of underWay) yield await result
}

/** `red-kite.jpg`: people know their files by name. */
function ownName(image: string): string {
  const path = cut(image, longestAddress).split(/[?#]/)[0] ?? ''
  return cut(printable(basename(path)).trim(), 60) || 'no name'
}

function inOneSentence(problems: readonly string[]): string {
  const told = problems.slice(0, mostTold)
  const others = problems.length - told.length
  return others > 0 ? `${told.join('; ')}; and ${others} more` : told.join('; ')
}
