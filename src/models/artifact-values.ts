/**
 * Looks at every number of a file as its bytes come by, in pieces of any size: whether one isn't finite,
 * whether a tensor is more than zeros, and the values of the small ones (alpha).
 */
import type { NumberType, Tensor } from './artifact-header.ts'
import { bad, numberBytes } from './artifact-header.ts'

export type Values = {
  /** Names of tensors with at least one number that isn't zero. */
  readonly filled: ReadonlySet<string>
  /** Values of tensors of one number. */
  readonly scalars: ReadonlyMap<string, number>
}

/** A number that isn't finite has all bits of its exponent set. */
const exponent: Readonly<Record<NumberType, number>> = { F32: 0x7f800000, F16: 0x7c00, BF16: 0x7f80 }
const magnitude: Readonly<Record<NumberType, number>> = { F32: 0x7fffffff, F16: 0x7fff, BF16: 0x7fff }

/** `pieces` are the bytes after the header. Memory: one piece and a number's rest. */
export async function scanValues(tensors: readonly Tensor[], pieces: AsyncIterable<Buffer>): Promise<Values> {
  const filled = new Set<string>()
  const scalars = new Map<string, number>()
  const remaining = tensors.filter(({ begin, end }) => end > begin)
  let index = 0
  let position = remaining[0]?.begin ?? 0
  let rest: Buffer = Buffer.alloc(0)

  for await (const piece of pieces) {
    let bytes = rest.length > 0 ? Buffer.concat([rest, piece]) : piece
    for (;;) {
      const tensor = remaining[index]
      if (!tensor) break
      const width = numberBytes[tensor.dtype]
      const usable = Math.min(bytes.length - (bytes.length % width), tensor.end - position)
      if (usable === 0) break
      const part = bytes.subarray(0, usable)
      if (scan(part, tensor)) filled.add(tensor.name)
      if (tensor.end - tensor.begin === width) scalars.set(tensor.name, read(part, tensor.dtype))
      position += usable
      bytes = bytes.subarray(usable)
      if (position === tensor.end) index++
    }
    rest = Buffer.from(bytes)
  }
  if (index < remaining.length) throw bad(`it ends in the middle of ${remaining[index]?.name}`)
  return { filled, scalars }
}

/** Whether something in it isn't zero; Failure('bad-artifact') if something isn't finite. */
function scan(bytes: Buffer, { name, dtype }: Tensor): boolean {
  const numbers = view(bytes, dtype)
  const top = exponent[dtype]
  const any = magnitude[dtype]
  let seen = 0
  for (let index = 0; index < numbers.length; index++) {
    const bits = (numbers[index] ?? 0) & any
    if (bits >= top) throw bad(`${name} has numbers that are not finite`)
    seen |= bits
  }
  return seen !== 0
}

/** As unsigned integers; copied where the bytes don't begin at a multiple of the number's width. */
function view(bytes: Buffer, dtype: NumberType): Uint32Array | Uint16Array {
  const width = numberBytes[dtype]
  const aligned = bytes.byteOffset % width === 0 ? bytes : new Uint8Array(bytes)
  const count = bytes.length / width
  return width === 4
    ? new Uint32Array(aligned.buffer, aligned.byteOffset, count)
    : new Uint16Array(aligned.buffer, aligned.byteOffset, count)
}

function read(bytes: Buffer, dtype: NumberType): number {
  if (dtype === 'F32') return bytes.readFloatLE()
  const bits = bytes.readUInt16LE()
  if (dtype === 'BF16') {
    const wide = Buffer.alloc(4)
    wide.writeUInt16LE(bits, 2)
    return wide.readFloatLE()
  }
  const sign = bits & 0x8000 ? -1 : 1
  const power = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  return sign * (power === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (power - 15))
}
