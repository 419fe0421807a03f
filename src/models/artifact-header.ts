/**
 * The header of a safetensors file: eight bytes of length, then JSON that names each tensor's type, shape
 * and place, then the tensors. Everything in it is untrusted
 * (https://github.com/huggingface/safetensors#format).
 */
import { z } from 'zod'
import { Failure } from '../failure.ts'

/** Bytes of one number; LoRAs are made of these types only. */
export const numberBytes = { F32: 4, F16: 2, BF16: 2 } as const

export type NumberType = keyof typeof numberBytes

export type Tensor = {
  readonly name: string
  readonly dtype: NumberType
  readonly shape: readonly number[]
  /** Byte offsets in the file, `end` not included. */
  readonly begin: number
  readonly end: number
}

export type Header = {
  /** In the order in which they lie in the file, without gaps. */
  readonly tensors: readonly Tensor[]
  readonly metadata: Readonly<Record<string, string>>
}

export const lengthBytes = 8

/** The format allows 100 MB; a LoRA's header has some hundred kilobytes. */
const longestHeader = 10_000_000

const headerSchema = z.record(
  z.string(),
  z.object({
    dtype: z.enum(Object.keys(numberBytes) as [NumberType, ...NumberType[]]),
    shape: z.array(z.int().min(0)).max(8),
    data_offsets: z.tuple([z.int().min(0), z.int().min(0)]),
  }),
)

const metadataSchema = z.record(z.string(), z.string()).default({})

/** Bytes of the JSON, from the file's first eight. */
export function headerLength(start: Buffer, fileSize: number): number {
  if (start.length < lengthBytes) throw bad('it is too short to be a safetensors file')
  const length = start.readBigUInt64LE()
  if (length < 2n || length > BigInt(Math.min(longestHeader, fileSize - lengthBytes))) {
    throw bad('it does not begin like a safetensors file')
  }
  return Number(length)
}

/** Failure('bad-artifact') unless the tensors fill the file exactly. */
export function parseHeader(json: Buffer, fileSize: number): Header {
  const { __metadata__, ...entries } = parseJson(json)
  const parsed = headerSchema.safeParse(entries)
  const metadata = metadataSchema.safeParse(__metadata__)
  if (!parsed.success) throw bad(`its header is broken: ${z.prettifyError(parsed.error).slice(0, 300)}`)
  if (!metadata.success) throw bad('its metadata is not a list of texts')

  const start = lengthBytes + json.length
  const tensors = Object.entries(parsed.data).map(
    ([
      name,
      {
        dtype,
        shape,
        data_offsets: [begin, end],
      },
    ]) => ({
      name,
      dtype,
      shape,
      begin: start + begin,
      end: start + end,
    }),
  )
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end)
  let filled = start
  for (const { name, dtype, shape, begin, end } of tensors) {
    const bytes = shape.reduce((product, side) => product * side, numberBytes[dtype])
    if (begin !== filled) throw bad(`the place of ${name} does not follow the tensor before it`)
    if (end - begin !== bytes) throw bad(`${name} takes ${end - begin} bytes, but its shape needs ${bytes}`)
    filled = end
  }
  if (tensors.length === 0) throw bad('it has no tensors')
  if (filled !== fileSize) throw bad(`it has ${fileSize} bytes, but its header promises ${filled}`)
  return { tensors, metadata: metadata.data }
}

function parseJson(json: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json))
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  } catch {}
  throw bad('its header is no JSON object')
}

export function bad(complaint: string): Failure {
  return new Failure('bad-artifact', complaint)
}
