/**
 * A base from a repository into the bucket, streamed: no file is ever on this computer's disk or whole in
 * its memory, and none is in the bucket unless its bytes have the sum that the hub has for them.
 */
import { createHash } from 'node:crypto'
import type { Store } from '../storage/store.ts'
import { cut, printable } from '../text.ts'
import { checkKind } from './base-kind.ts'
import {
  type BaseModel,
  type BaseModelFile,
  type BaseModelMeta,
  publishWeights,
  type Weights,
} from './bases.ts'
import { type ChosenFile, filesToLoad } from './diffusers-files.ts'
import type { Repository, RepositoryFile } from './hub-repository.ts'

export type HubBaseOptions = {
  readonly name: string
  readonly family: BaseModel['family']
  /** Default: the one that the model card names. */
  readonly licence?: string | undefined
  /** Such as `fp16`: the weights of that name, where a component has them. */
  readonly variant?: string | undefined
  readonly onFile?: (file: BaseModelFile) => void
}

type Read = (start: number, end: number) => Promise<Buffer>

/** Files that the hub has no sum for are in git itself, and small: a tokenizer's are some megabytes. */
const mostWithoutSum = 32_000_000

export async function publishFromHub(
  store: Store,
  repository: Repository,
  { name, family, licence: given, variant, onFile = () => {} }: HubBaseOptions,
): Promise<BaseModel> {
  const licence = given ?? cut(printable(repository.licence ?? '').trim(), 500)
  if (!licence)
    throw new Error(`The model card of ${repository.name} names no licence: say it with --licence.`)
  const listed = new Map(repository.files.map((file) => [file.path, file]))
  const wholeOf = (path: string) => readWhole(repository, fileOf(repository, listed, path))
  const readJson = async (path: string) => JSON.parse((await wholeOf(path)).toString()) as unknown
  const chosen = await filesToLoad([...listed.keys()], readJson, variant)
  const from = new Map(chosen.map((file) => [file.to, file.from]))
  await checkKind(family, [...from.keys()], (path) => readJson(from.get(path) ?? path))

  async function* weights(): AsyncGenerator<Weights> {
    for (const { from, to } of chosen) yield await weightsOf(fileOf(repository, listed, from), to)
  }

  async function weightsOf(file: RepositoryFile, path: ChosenFile['to']): Promise<Weights> {
    const { size, sha256: promised } = file
    const whole = promised === undefined ? await readWhole(repository, file) : undefined
    const sha256 =
      promised ??
      createHash('sha256')
        .update(whole ?? '')
        .digest('hex')
    const read: Read = whole
      ? async (start, end) => whole.subarray(start, end)
      : checked((start, end) => repository.read(file.path, start, end), file)
    return { path, size, sha256, send: (ref, contentType) => store.writeParts(ref, size, read, contentType) }
  }

  const meta: BaseModelMeta = { name, family, licence, source: repository.source }
  return publishWeights(store, weights(), meta, onFile)
}

function fileOf(
  { name }: Repository,
  listed: ReadonlyMap<string, RepositoryFile>,
  path: string,
): RepositoryFile {
  const file = listed.get(path)
  if (!file) throw new Error(`${name} has no ${path}.`)
  return file
}

async function readWhole(repository: Repository, { path, size, sha256 }: RepositoryFile): Promise<Buffer> {
  if (size > mostWithoutSum) throw new Error(`${path} has ${size} bytes, and the hub names no sum for it.`)
  const whole = await repository.read(path, 0, size)
  if (sha256 && createHash('sha256').update(whole).digest('hex') !== sha256) throw otherSum(path)
  return whole
}

/** As `read`, asked in order; the piece that ends the file is refused if the file's sum is another. */
function checked(read: Read, { path, size, sha256 }: RepositoryFile): Read {
  const sum = createHash('sha256')
  let last: Promise<unknown> = Promise.resolve()
  return (start, end) => {
    const piece = Promise.all([read(start, end), last]).then(([bytes]) => {
      sum.update(bytes)
      if (end === size && sum.digest('hex') !== sha256) throw otherSum(path)
      return bytes
    })
    last = piece
    return piece
  }
}

function otherSum(path: string): Error {
  return new Error(`${path} came with another sum than the hub has for it. Try again.`)
}
