/** Images as people upload them, good and bad. */
import { crc32, deflateSync } from 'node:zlib'
import sharp, { type Sharp } from 'sharp'

export function picture(width = 320, height = 320): Sharp {
  return sharp({ create: { width, height, channels: 3, background: { r: 200, g: 100, b: 50 } } })
}

/** Photographic enough that its file is not tiny. */
export function noise(side = 320): Sharp {
  const background = { r: 0, g: 0, b: 0 }
  const gaussian = { type: 'gaussian', mean: 128, sigma: 60 } as const
  return sharp({ create: { width: side, height: side, channels: 3, background, noise: gaussian } })
}

export async function animation(): Promise<Buffer> {
  const frames = await Promise.all([picture(), picture().negate()].map((each) => each.png().toBuffer()))
  return sharp(frames, { join: { animated: true } })
    .gif({ delay: [100, 100] })
    .toBuffer()
}

/** 144 megapixels of one bit each in 18 kilobytes: a true PNG that only unpacks too large. */
export function decompressionBomb(): Buffer {
  const side = 12_000
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0])
  header.writeUInt32BE(side, 0)
  header.writeUInt32BE(side, 4)
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.alloc(side * (1 + side / 8)))),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

export type PngFacts = {
  /** Pixels. */
  readonly side: number
  /** Of a channel. */
  readonly bits: 8 | 16
  /** 0: grey, 6: colour with transparency. */
  readonly colour: 0 | 6
  readonly interlaced: boolean
}

/** A black PNG, with chunks between its header and its pixels. */
export function pngOf(facts: PngFacts, between: readonly (readonly [string, Buffer])[] = []): Buffer {
  const { side, bits, colour, interlaced } = facts
  const pixel = (bits / 8) * (colour === 6 ? 4 : 1)
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, bits, colour, 0, 0, interlaced ? 1 : 0])
  header.writeUInt32BE(side, 0)
  header.writeUInt32BE(side, 4)
  // first column, first row, and steps of the seven passes (https://www.w3.org/TR/png/#8Interlace)
  const passes = [
    [0, 0, 8, 8],
    [4, 0, 8, 8],
    [0, 4, 4, 8],
    [2, 0, 4, 4],
    [0, 2, 2, 4],
    [1, 0, 2, 2],
    [0, 1, 1, 2],
  ]
  const sizes = interlaced
    ? passes.map(([x = 0, y = 0, dx = 1, dy = 1]) => {
        const [columns, rows] = [Math.ceil((side - x) / dx), Math.ceil((side - y) / dy)]
        return rows * (1 + columns * pixel)
      })
    : [side * (1 + side * pixel)]
  const bytes = sizes.reduce((sum, size) => sum + size, 0)
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    chunk('IHDR', header),
    ...between.map(([type, data]) => chunk(type, data)),
    chunk('IDAT', deflateSync(Buffer.alloc(bytes), { level: 1 })),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type), data])
  const frame = Buffer.alloc(8)
  frame.writeUInt32BE(data.length)
  frame.writeUInt32BE(crc32(body), 4)
  return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)])
}
