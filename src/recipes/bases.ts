/**
 * Base models in the bases bucket: a folder `<name>/` with the weights as diffusers lays them out, and
 * `base.json`, written last, that lists every file. The list's sum names the weights: a plan carries it,
 * and a trainer refuses others.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { z } from 'zod'
import { Failure } from '../failure.ts'
import type { Store } from '../storage/store.ts'
import { familySchema } from './plan.ts'

const nameSchema = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/)
const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/)

/** Relative, of plain characters, without a segment that climbs or hides. */
const pathSchema = z
  .string()
  .max(200)
  .regex(/^[A-Za-z0-9_-][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/)

const baseSchema = z
  .strictObject({
    name: nameSchema,
    family: familySchema,
    /** SPDX identifier, or the licence's name and address. */
    licence: z.string().min(1).max(500),
    files: z
      .array(z.strictObject({ path: pathSchema, size: z.int().min(0), sha256: sha256Schema }))
      .min(1)
      .max(10_000),
    sha256: sha256Schema,
  })
  .refine((base) => base.sha256 === sumOf(base.files), { message: 'sha256 is not that of the list of files' })

export type Base = Readonly<z.infer<typeof baseSchema>>
export type BaseFile = Base['files'][number]

const listName = 'base.json'

export function baseKey(name: string, path: string): string {
  return `${name}/${path}`
}

/** The base of that name; Failure('unknown-model') if there is none, 'internal' if its list is broken. */
export async function readBase(store: Store, name: string): Promise<Base> {
  const ref = { bucket: 'bases', key: baseKey(nameSchema.parse(name), listName) } as const
  if (!(await store.info(ref))) {
    throw new Failure('unknown-model', `the base model "${name}" has not been installed`)
  }
  const written = await store.read(ref, { maxBytes: 4_000_000 })
  try {
    const base = baseSchema.parse(JSON.parse(written.toString()))
    if (base.name !== name) throw new Error(`it is the list of "${base.name}"`)
    return base
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : String(error)
    throw new Failure('internal', `the list of files of base model "${name}" makes no sense: ${why}`, {
      cause: error,
    })
  }
}

/** Copies a folder of weights into the bucket. Files that are there already are not sent again. */
export async function publishBase(
  store: Store,
  folder: string,
  meta: Pick<Base, 'name' | 'family' | 'licence'>,
  onFile: (file: BaseFile) => void = () => {},
): Promise<Base> {
  const before = await readBase(store, meta.name).catch(() => undefined)
  const files: BaseFile[] = []
  for await (const file of weightsIn(folder)) {
    const { path, size, sha256 } = file
    const ref = { bucket: 'bases', key: baseKey(meta.name, path) } as const
    const listed = before?.files.some((each) => each.path === path && each.sha256 === sha256)
    if (!listed || (await store.info(ref))?.size !== size) {
      await store.writeFile(ref, join(folder, path), mediaType(path))
    }
    files.push(file)
    onFile(file)
  }
  const base = baseSchema.parse({ ...meta, files, sha256: sumOf(files) })
  const ref = { bucket: 'bases', key: baseKey(meta.name, listName) } as const
  await store.write(ref, JSON.stringify(base, null, 2), 'application/json')
  return base
}

/** Every file of a folder of weights with its size and sum, in order of their paths. */
export async function* weightsIn(folder: string): AsyncGenerator<BaseFile> {
  for (const path of await filesBelow(folder)) {
    const local = join(folder, path)
    yield { path: pathSchema.parse(path), size: (await stat(local)).size, sha256: await sha256Of(local) }
  }
}

/** What `sha256sum` prints for the files in order of their paths, summed once more. */
export function sumOf(files: readonly { readonly path: string; readonly sha256: string }[]): string {
  const lines = files.map(({ path, sha256 }) => ({ path, line: `${sha256}  ${path}\n` }))
  lines.sort((a, b) => (a.path < b.path ? -1 : 1))
  return createHash('sha256')
    .update(lines.map(({ line }) => line).join(''))
    .digest('hex')
}

/** Symbolic links, as in a hub's cache, count as what they point to; hidden files and the list don't. */
async function filesBelow(folder: string): Promise<string[]> {
  const found: string[] = []
  const visit = async (directory: string): Promise<void> => {
    for (const name of (await readdir(directory)).sort()) {
      if (name.startsWith('.') || (directory === folder && name === listName)) continue
      const path = join(directory, name)
      if ((await stat(path)).isDirectory()) await visit(path)
      else found.push(relative(folder, path).split(sep).join('/'))
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
