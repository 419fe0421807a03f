/**
 * Base models in the bases bucket: a folder `<name>/` with the weights as diffusers lays them out, and
 * `base.json`, written last, that lists every file. The list's sum names the weights: a plan carries it,
 * and a trainer refuses others. Until the list is written `arrived.json` notes what is there with which
 * sum, so that a copy that was cut short goes on where it was.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join, relative, sep } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { familySchema } from '../family.ts'
import type { ObjectRef, Store } from '../storage/store.ts'
import { checkKind, singleFile } from './base-kind.ts'
import { countParameters } from './base-size.ts'
import { safeWeights, smallFile, weightsFile } from './diffusers-files.ts'

const nameSchema = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/)
const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/)

/** Relative, of plain characters, without a segment that climbs or hides. */
const pathSchema = z
  .string()
  .max(200)
  .regex(/^[A-Za-z0-9_-][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/)

const filesSchema = z
  .array(z.strictObject({ path: pathSchema, size: z.int().min(0), sha256: sha256Schema }))
  .max(10_000)

export type BaseModelFile = Readonly<z.infer<typeof filesSchema>[number]>

const baseSchema = z
  .strictObject({
    name: nameSchema,
    family: familySchema,
    /** SPDX identifier, or the licence's name and address. */
    licence: z.string().min(1).max(500),
    /** Where it was copied from, such as `huggingface.co/owner/name@commit`. */
    source: z.string().min(1).max(500).optional(),
    /** How many the models have that are trained, by folder. */
    parameters: z.record(z.string(), z.int().positive()).optional(),
    files: filesSchema.min(1),
    sha256: sha256Schema,
  })
  .refine((base) => base.sha256 === sumOf(base.files), { message: 'sha256 is not that of the list of files' })

export type BaseModel = Readonly<z.infer<typeof baseSchema>>
export type BaseModelMeta = Pick<BaseModel, 'name' | 'family' | 'licence'> & { readonly source?: string }

/** A file on its way into the bucket. */
export type Weights = BaseModelFile & {
  /** Puts it there, whole and of that sum, or not at all. */
  readonly send: (ref: ObjectRef, contentType: string) => Promise<void>
}

const listName = 'base.json'
const arrivedName = 'arrived.json'

export function baseKey(name: string, path: string): string {
  return `${name}/${path}`
}

/** The base of that name; Failure('misconfigured') if there is none, or its list is broken. */
export async function readBaseModel(store: Store, name: string): Promise<BaseModel> {
  const ref = { bucket: 'bases', key: baseKey(nameSchema.parse(name), listName) } as const
  if (!(await store.info(ref))) {
    throw new Failure('misconfigured', `the base model "${name}" has not been installed`)
  }
  const written = await store.read(ref, { maxBytes: 4_000_000 })
  try {
    const base = baseSchema.parse(JSON.parse(written.toString()))
    if (base.name !== name) throw new Error(`it is the list of "${base.name}"`)
    return base
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : String(error)
    throw new Failure('misconfigured', `the list of files of base model "${name}" makes no sense: ${why}`, {
      cause: error,
    })
  }
}

/** Copies a folder of weights into the bucket; throws where it is no base of that family, before anything is copied. */
export async function publishBaseModel(
  store: Store,
  folder: string,
  meta: BaseModelMeta,
  onFile: (file: BaseModelFile) => void = () => {},
): Promise<BaseModel> {
  if ((await stat(folder)).isFile()) throw singleFile(basename(folder))
  const readJson = async (path: string) => JSON.parse(await readFile(join(folder, path), 'utf8')) as unknown
  await checkKind(meta.family, await filesBelow(folder), readJson)

  async function* weights(): AsyncGenerator<Weights> {
    for await (const file of weightsIn(folder)) {
      const local = join(folder, file.path)
      yield { ...file, send: (ref, contentType) => store.writeFile(ref, local, contentType) }
    }
  }
  return publishWeights(store, weights(), meta, onFile)
}

/** Files that are there already are not sent again. */
export async function publishWeights(
  store: Store,
  weights: AsyncIterable<Weights>,
  meta: BaseModelMeta,
  onFile: (file: BaseModelFile) => void,
): Promise<BaseModel> {
  const list = { bucket: 'bases', key: baseKey(nameSchema.parse(meta.name), listName) } as const
  const arrived = { bucket: 'bases', key: baseKey(meta.name, arrivedName) } as const
  const before = await readBaseModel(store, meta.name).catch(() => undefined)
  const noted = [...(before?.files ?? []), ...(await readArrived(store, arrived))]
  const files: BaseModelFile[] = []
  for await (const { send, ...file } of weights) {
    const { path, size, sha256 } = file
    const ref = { bucket: 'bases', key: baseKey(meta.name, path) } as const
    const isNoted = noted.findLast((each) => each.path === path)?.sha256 === sha256
    files.push(file)
    if (!isNoted || (await store.info(ref))?.size !== size) {
      await send(ref, mediaType(path))
      await store.write(arrived, JSON.stringify(files), 'application/json')
    }
    onFile(file)
  }
  const sha256 = sumOf(files)
  const parameters = await countParameters(files, (path, start, end) =>
    store.read({ bucket: 'bases', key: baseKey(meta.name, path) }, { range: [start, end - 1] }),
  )
  const base = baseSchema.parse({ ...meta, ...(parameters && { parameters }), files, sha256 })
  await store.write(list, JSON.stringify(base, null, 2), 'application/json')
  await store.remove(arrived)
  return base
}

/**
 * Every file of a folder of weights with its size and sum, in order of their paths: safetensors, configuration, tokenizers.
 * Others are left out, since a loader that finds them may run what is in them; throws where a component has no other weights.
 */
export async function* weightsIn(folder: string): AsyncGenerator<BaseModelFile> {
  for (const path of await filesBelow(folder)) {
    const local = join(folder, path)
    yield { path: pathSchema.parse(path), size: (await stat(local)).size, sha256: await sha256Of(local) }
  }
}

/** What `sha256sum` prints for the files in order of their paths, summed once more. */
export function sumOf(files: readonly Pick<BaseModelFile, 'path' | 'sha256'>[]): string {
  return createHash('sha256').update(sha256sums(files)).digest('hex')
}

/** What `sha256sum` prints for the files in order of their paths. */
export function sha256sums(files: readonly Pick<BaseModelFile, 'path' | 'sha256'>[]): string {
  const inOrder = files.toSorted((a, b) => (a.path < b.path ? -1 : 1))
  return inOrder.map(({ path, sha256 }) => `${sha256}  ${path}\n`).join('')
}

async function readArrived(store: Store, ref: ObjectRef): Promise<readonly BaseModelFile[]> {
  if (!(await store.info(ref))) return []
  const written = (await store.read(ref, { maxBytes: 4_000_000 })).toString()
  return filesSchema.catch([]).parse(JSON.parse(written))
}

/** Symbolic links, as in a hub's cache, count as what they point to; hidden files, others' kinds and the list don't. */
async function filesBelow(folder: string): Promise<string[]> {
  const found: string[] = []
  const visit = async (directory: string): Promise<void> => {
    const names = (await readdir(directory)).sort()
    const unsafe = names.find((name) => weightsFile.test(name))
    if (unsafe && !names.some((name) => safeWeights.test(name)))
      throw new Error(`${join(directory, unsafe)}: weights must be .safetensors.`)
    for (const name of names) {
      if (name.startsWith('.') || (directory === folder && name === listName)) continue
      const path = join(directory, name)
      if ((await stat(path)).isDirectory()) await visit(path)
      else if (safeWeights.test(name) || smallFile.test(name))
        found.push(relative(folder, path).split(sep).join('/'))
    }
  }
  await visit(folder)
  return found
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash)
  return hash.digest('hex')
}

function mediaType(path: string): string {
  return path.endsWith('.json') ? 'application/json' : 'application/octet-stream'
}
