/** Clips as far as their containers go: what a header says is true, what would be decoded is zeros. */

export type ClipFacts = {
  /** A WebM that was recorded live, as browsers do, does not say: null. */
  readonly seconds?: number | null
  readonly width?: number
  readonly height?: number
  /** Of the video's coding, as the container names it. */
  readonly codec?: string
}

/** An MP4 whose index comes first, so that it can be cut off behind it. */
export function mp4({ seconds = 2, width = 320, height = 240, codec = 'avc1' }: ClipFacts = {}): Buffer {
  const frames = Number(seconds) * 16
  const sample = Buffer.alloc(10)
  const movie = (chunkAt: number) => box('moov', full('mvhd', 0, 0, 16, frames, ...zeros(20)), track(chunkAt))
  const track = (chunkAt: number) =>
    box(
      'trak',
      full('tkhd', 0, 0, 1, 0, frames, ...zeros(13), width << 16, height << 16),
      box(
        'mdia',
        full('mdhd', 0, 0, 16, frames, 0),
        box('hdlr', words(0, 0), Buffer.from('vide'), words(0, 0, 0), Buffer.alloc(1)),
        box(
          'minf',
          full('vmhd', 0, 0),
          box(
            'stbl',
            box('stsd', words(0, 1), picture(codec, width, height)),
            full('stts', 1, frames, 1),
            full('stsc', 1, 1, frames, 1),
            full('stsz', sample.length, frames),
            full('stco', 1, chunkAt),
          ),
        ),
      ),
    )
  const type = box('ftyp', Buffer.from('isom'), words(512), Buffer.from('isomavc1'))
  const body = box('mdat', ...Array.from({ length: frames }, () => sample))
  return Buffer.concat([type, movie(type.length + movie(0).length + 8), body])
}

/** A WebM that says what it is, and holds one frame of nothing. */
export function webm({ seconds = 2, width = 320, height = 240, codec = 'V_VP9' }: ClipFacts = {}): Buffer {
  return Buffer.concat([
    element('1a45dfa3', element('4282', Buffer.from('webm'))),
    element(
      '18538067',
      element('1549a966', element('2ad7b1', number(1_000_000)), ...duration(seconds)),
      element(
        '1654ae6b',
        element(
          'ae',
          element('d7', number(1)),
          element('83', number(1)),
          element('86', Buffer.from(codec)),
          element('e0', element('b0', number(width)), element('ba', number(height))),
        ),
      ),
      element('1f43b675', element('e7', number(0)), element('a3', Buffer.from([0x81, 0, 0, 0x80, 0, 0]))),
    ),
  ])
}

function duration(seconds: number | null): readonly Buffer[] {
  if (seconds === null) return []
  const milliseconds = Buffer.alloc(4)
  milliseconds.writeFloatBE(seconds * 1000)
  return [element('4489', milliseconds)]
}

function picture(codec: string, width: number, height: number): Buffer {
  const entry = Buffer.alloc(78)
  entry.writeUInt16BE(1, 6)
  entry.writeUInt16BE(width, 24)
  entry.writeUInt16BE(height, 26)
  return box(codec, entry)
}

function box(type: string, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([words(8 + body.length), Buffer.from(type), body])
}

/** A box of version 0 without flags, and numbers of 32 bits. */
function full(type: string, ...values: readonly number[]): Buffer {
  return box(type, words(0, ...values))
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, 4 * index)
  return bytes
}

function zeros(count: number): readonly number[] {
  return Array<number>(count).fill(0)
}

/** Its size in eight bytes, as Matroska allows whatever the size is. */
export function element(id: string, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const size = Buffer.alloc(8)
  size.writeBigUInt64BE(BigInt(body.length) | (1n << 56n))
  return Buffer.concat([Buffer.from(id, 'hex'), size, body])
}

export function number(value: number): Buffer {
  return words(value)
}
