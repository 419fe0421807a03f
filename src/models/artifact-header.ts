/**
 * The header of a safetensors file: eight bytes of length, then JSON that names each tensor's type, shape
 * and place, then the tensors. Everything in it is untrusted
 * (https://github.com/huggingface/safetensors#format).
 */
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { cut, printable } from '../text.ts'

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

/** The format allows 100 MB; a LoRA's header has some hundred kilobytes. More would hold up the worker's only thread. */
const longestHeader = 2_000_000

/** A LoRA of SDXL with both text encoders has about 3,000. */
const mostTensors = 10_000

/** Names reach logs, terminals and patterns: no escape sequences, nothing that is invisible. */
const tensorName = /^[\w.:/-]{1,300}$/

const tensorSchema = z.object({
  dtype: z.enum(Object.keys(numberBytes) as [NumberType, ...NumberType[]]),
  shape: z.array(z.int().min(0)),
  data_offsets: z.tuple([z.int().min(0), z.int().min(0)]),
})

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
  const metadata = readMetadata(__metadata__)
  const start = lengthBytes + json.length
  const tensors = readTensors(entries, start)
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
  return { tensors, metadata }
}

/** Ends at the first that is wrong: a list of all that is wrong with a million would take minutes. */
function readTensors(entries: Readonly<Record<string, unknown>>, start: number): Tensor[] {
  const all = Object.entries(entries)
  if (all.length > mostTensors) throw bad(`it has ${all.length} tensors, more than a LoRA has`)
  return all.map(([name, value]) => {
    if (!tensorName.test(name)) throw bad(`it has a tensor of the name "${printable(cut(name, 120))}"`)
    const { shape } = Object(value) as { readonly shape?: unknown }
    if (Array.isArray(shape) && shape.length > 8) throw bad(`${name} has ${shape.length} dimensions`)
    const parsed = tensorSchema.safeParse(value)
    if (!parsed.success) throw bad(`its header is broken: ${name}: ${complaint(parsed.error)}`)
    const { dtype, shape: sides, data_offsets: offsets } = parsed.data
    return { name, dtype, shape: sides, begin: start + offsets[0], end: start + offsets[1] }
  })
}

function complaint(error: z.ZodError): string {
  return printable(cut(z.prettifyError(error), 300))
}

function readMetadata(value: unknown): Readonly<Record<string, string>> {
  const entries = Object.entries(value ?? {})
  const texts = typeof (value ?? {}) === 'object' && entries.every(([, text]) => typeof text === 'string')
  if (!texts || Array.isArray(value)) throw bad('its metadata is not a list of texts')
  return Object.fromEntries(entries) as Record<string, string>
}

/** A tensor has three colons and its own, and lies two levels deep; the metadata is flat. */
const mostColons = 5 * mostTensors
const deepest = 4

/** Looks at the bytes alone: a parser takes a second for two megabytes of nothing but brackets. */
function checkShape(json: Buffer): void {
  let [depth, colons, quoted] = [0, 0, false]
  for (let at = 0; at < json.length; at++) {
    const byte = json[at]
    if (byte === 0x22) quoted = !quoted
    else if (quoted) at += byte === 0x5c ? 1 : 0
    else if (byte === 0x3a) colons++
    else if (byte === 0x5b || byte === 0x7b) depth++
    else if (byte === 0x5d || byte === 0x7d) depth--
    if (depth > deepest) throw bad('its header is nested too deeply')
    if (colons > mostColons) throw bad('its header has more entries than a LoRA has tensors')
  }
}

function parseJson(json: Buffer): Record<string, unknown> {
  checkShape(json)
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json))
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  } catch {}
  throw bad('its header is no JSON object')
}

/** Names of tensors are a stranger's words: what a terminal would obey is taken out of them. */
export function bad(complaint: string): Failure {
  return new Failure('bad-artifact', cut(printable(complaint), 500))
}
