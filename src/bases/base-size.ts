/**
 * How large a base is: what a machine has to fetch, and what its GPU has to hold. Parameters, not bytes, say the
 * latter: WAN's repositories keep theirs in fp32, twice what is loaded.
 */
import { z } from 'zod'
import type { BaseModel, BaseModelFile } from './bases.ts'

export type BaseSize = {
  /** Of all files, as they are staged. */
  readonly bytes: number
  /** Parameters of each model that is trained: one, or two experts. */
  readonly trained: readonly number[]
}

/** Folders of models that a LoRA goes into. */
const trainedFolder = /^(unet|transformer|transformer_\d+)\//

/** Undefined where the list says nothing of parameters: a recipe assumes its family's usual base then. */
export function sizeOf({ files, parameters }: BaseModel): BaseSize | undefined {
  if (!parameters) return undefined
  return { bytes: files.reduce((sum, { size }) => sum + size, 0), trained: Object.values(parameters) }
}

/** How much work a step is: one of the experts is trained at a time. */
export function relativeSize({ trained }: BaseSize, usual: BaseSize): number {
  return Math.max(...trained) / Math.max(...usual.trained)
}

/** GB of a machine's disk: what is staged, the image of 20 GB unpacked, system, caches, checkpoints. */
export function diskGb({ bytes }: BaseSize): number {
  return 80 + Math.ceil(bytes / 1e9)
}

/** Bytes of a file from `start` to `end`, the latter not included. */
type Read = (path: string, start: number, end: number) => Promise<Buffer>

/** By folder, from the headers of the files; undefined where one of them is no safetensors. */
export async function countParameters(
  files: readonly BaseModelFile[],
  read: Read,
): Promise<Record<string, number> | undefined> {
  const counts: Record<string, number> = {}
  for (const { path, size } of files) {
    const folder = trainedFolder.exec(path)?.[1]
    if (!folder || !path.endsWith('.safetensors')) continue
    const count = await parametersIn(size, (start, end) => read(path, start, end))
    if (count === undefined) return undefined
    counts[folder] = (counts[folder] ?? 0) + count
  }
  return Object.keys(counts).length > 0 ? counts : undefined
}

/** The format allows 100 MB. */
const longestHeader = 100_000_000

const headerSchema = z.record(z.string(), z.object({ shape: z.array(z.int().min(0)) }))

/** Eight bytes of length, then JSON with each tensor's shape (https://github.com/huggingface/safetensors#format). */
async function parametersIn(
  size: number,
  read: (start: number, end: number) => Promise<Buffer>,
): Promise<number | undefined> {
  if (size < 10) return undefined
  const length = Number((await read(0, 8)).readBigUInt64LE())
  if (length < 2 || length > Math.min(longestHeader, size - 8)) return undefined
  const tensors = parsed(await read(8, 8 + length))
  const shapes = tensors && Object.values(tensors).map(({ shape }) => shape)
  return shapes?.reduce((sum, shape) => sum + shape.reduce((product, side) => product * side, 1), 0)
}

function parsed(header: Buffer): z.infer<typeof headerSchema> | undefined {
  try {
    const { __metadata__, ...tensors } = JSON.parse(header.toString())
    return headerSchema.safeParse(tensors).data
  } catch {
    return undefined
  }
}
