/** Pictures of every kind of colour: trained as they look, or refused by what they are. */
import sharp from 'sharp'
import { expect, test } from 'vitest'
import { inspectImage } from '../../src/datasets/inspect.ts'
import { tiff } from '../support/tiff.ts'

const limits = { minSide: 64, maxSide: 2048 }
const colour = { r: 200, g: 100, b: 50 }
const picture = (width = 128, height = 128) =>
  sharp({ create: { width, height, channels: 3, background: colour } })

async function means(bytes: Buffer): Promise<readonly number[]> {
  const found = await inspectImage(bytes, limits)
  if ('problem' in found) throw new Error(found.problem)
  return (await sharp(found.bytes).stats()).channels.map(({ mean }) => Math.round(mean))
}

test.each([
  ['8 bits', () => picture()],
  ['16 bits', () => picture().toColourspace('rgb16')],
])('%s with a profile become the colours of sRGB, as libvips made them from', async (_, make) => {
  for (const write of ['png', 'tiff'] as const) {
    const profiled = await make().withIccProfile('p3')[write]().toBuffer()
    for (const [index, mean] of (await means(profiled)).entries())
      expect(Math.abs(mean - ([200, 100, 50][index] ?? 0))).toBeLessThan(4)
  }
})

test('16 bits without a profile are sRGB', async () => {
  expect(await means(await picture().toColourspace('rgb16').png().toBuffer())).toEqual([200, 100, 50])
})

test('CIE Lab, which libvips reads in a form of its own only, is refused by what it is', async () => {
  const bytes = tiff([136, 81, 70], { side: 128, photometric: 8, bits: 8, sampleFormat: 1 })
  expect(await inspectImage(bytes, limits)).toEqual({
    problem: 'is in CIE Lab colours, which can’t be read: save it as sRGB',
  })
})

test.each([
  ['floating point, grey', 3, [0.5]],
  ['whole numbers', 1, [2 ** 31, 2 ** 31, 2 ** 31]],
] as const)(
  '32 bits of %s are refused by what they are, not trained as black',
  async (_, sampleFormat, pixel) => {
    const photometric = pixel.length === 1 ? 1 : 2
    const bytes = tiff(pixel, { side: 128, photometric, bits: 32, sampleFormat })
    expect(await inspectImage(bytes, limits)).toEqual({
      problem: 'has 32 bits a colour, and nothing says how bright they are: save it with 8 or 16',
    })
  },
)

test('floating point in RGB is linear light, as programs write it', async () => {
  const bytes = tiff([1, 0.5, 0], { side: 128, photometric: 2, bits: 32, sampleFormat: 3 })
  expect(await means(bytes)).toEqual([255, 188, 0]) // by IEC 61966-2-1
})

test.each(['heic', 'heix', 'mif1'])('HEIC is named as what it is: %s', async (brand) => {
  const box = Buffer.from(`\0\0\0\x1cftyp${brand}\0\0\0\0mif1heic${'\0'.repeat(4)}`, 'latin1')
  expect(await inspectImage(Buffer.concat([box, Buffer.alloc(200)]), limits)).toEqual({
    problem: 'is a HEIC picture, as phones take them, which can’t be read: export it as JPEG',
  })
})

test('AVIF, which is of the same container, is read', async () => {
  const [red = 0] = await means(await picture().avif({ quality: 90 }).toBuffer())
  expect(Math.abs(red - 200)).toBeLessThan(4)
})
