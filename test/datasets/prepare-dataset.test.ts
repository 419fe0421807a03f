import { createHash } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32, deflateSync } from 'node:zlib'
import sharp, { type Sharp } from 'sharp'
import { extract } from 'tar-stream'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Dataset } from '../../src/datasets/datasets.ts'
import { createInspector } from '../../src/datasets/inspector.ts'
import { datasetPreparer, inOrder } from '../../src/datasets/prepare-dataset.ts'
import type { Recipe } from '../../src/recipes/recipe.ts'
import { workerFault } from '../../src/worker-fault.ts'
import { type MemoryStore, memoryStore } from '../fakes/memory-store.ts'
import { mp4, webm } from '../support/clips.ts'

const id = '0123456789abcdef01234567'
const limits = {
  images: { min: 1, max: 5 },
  minSide: 64,
  maxSide: 256,
  steps: { min: 1, max: 10 },
  rank: { min: 1, max: 8 },
}

const inspector = createInspector()
let store: MemoryStore
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bellows-test-'))
})
beforeEach(() => {
  store = memoryStore()
})
afterAll(() => rm(folder, { recursive: true }))

describe('preparing a dataset', () => {
  it('packs images and captions in order, and says what it packed', async () => {
    const prepared = await prepare(
      [await picture().jpeg().toBuffer(), await picture().png().toBuffer()],
      ['a', 'b'],
    )
    expect(prepared).toMatchObject({
      images: 2,
      captions: ['a', 'b'],
      warnings: [],
      names: ['1.bin', '2.bin'],
    })
    const archive = await store.read(prepared.ref)
    expect(archive.length).toBe(prepared.size)
    expect(createHash('sha256').update(archive).digest('hex')).toBe(prepared.sha256)
    const entries = await unpack(archive)
    expect([...entries.keys()]).toEqual(['00001.jpg', '00001.txt', '00002.png', '00002.txt'])
    expect(entries.get('00002.txt')?.toString()).toBe('b')
  })

  it('makes the same bytes of the same images, and does it once', async () => {
    const images = [await picture().webp().toBuffer(), await picture().png().toBuffer()]
    const first = await prepare(images, ['x'])
    await store.remove({ bucket: 'datasets', key: keyOf(1) }) // would be missed if it were looked at again
    expect(await datasetPreparer(options())(id, dataset(2, ['x']), limits, signal())).toEqual(first)
    store = memoryStore()
    expect((await prepare(images, ['x'])).sha256).toBe(first.sha256)
    expect(await readdir(folder)).toEqual([])
  })

  it('writes every picture anew: upright, sRGB, opaque, bounded, without a word about where it was taken', async () => {
    const upright = picture(100, 200).withExif({
      IFD3: { GPSLatitudeRef: 'N' },
      IFD0: { Copyright: 'somebody' },
    })
    const pictures = [
      await upright.withMetadata({ orientation: 6 }).jpeg().toBuffer(),
      await picture().toColourspace('cmyk').jpeg().toBuffer(),
      await sharp({
        create: { width: 80, height: 80, channels: 4, background: { r: 255, g: 0, b: 0, alpha: 0 } },
      })
        .png()
        .toBuffer(),
      await picture(1000, 500).toColourspace('rgb16').png().toBuffer(),
      await picture().greyscale().withIccProfile('p3').png().toBuffer(),
    ]
    const prepared = await prepare(pictures)
    const entries = [...(await unpack(await store.read(prepared.ref)))].filter(
      ([name]) => !name.endsWith('.txt'),
    )
    const metadata = await Promise.all(entries.map(([, bytes]) => sharp(bytes).metadata()))
    for (const each of metadata) {
      expect(each).toMatchObject({
        space: 'srgb',
        channels: 3,
        depth: 'uchar',
        hasAlpha: false,
        hasProfile: false,
      })
      expect([each.exif, each.xmp, each.iptc, each.orientation]).toEqual([
        undefined,
        undefined,
        undefined,
        undefined,
      ])
    }
    expect(metadata.map(({ width, height }) => [width, height])).toEqual([
      [200, 100],
      [128, 128],
      [80, 80],
      [256, 128],
      [128, 128],
    ])
    const transparent = await sharp(entries[2]?.[1]).stats()
    expect(transparent.channels.map(({ min }) => min)).toEqual([255, 255, 255])
  })

  it('takes the first frame of an animation, and says so', async () => {
    const frames = await Promise.all([picture(), picture().negate()].map((each) => each.png().toBuffer()))
    const animated = await sharp(frames, { join: { animated: true } })
      .gif({ delay: [100, 100] })
      .toBuffer()
    const prepared = await prepare([animated])
    expect(prepared.warnings).toContain('image 1 (1.bin) is animated: only its first frame is used.')
    const [first] = (await unpack(await store.read(prepared.ref))).values()
    expect(await sharp(first).metadata()).toMatchObject({ width: 128, height: 128 })
  })

  it('tells all that is wrong in one sentence, by number and name', async () => {
    const png = await picture().png().toBuffer()
    const jpeg = await picture(600, 600).jpeg().toBuffer()
    const images = [png, Buffer.from('<html>404</html>'), jpeg.subarray(0, jpeg.length / 2), png]
    await upload(images)
    await store.remove({ bucket: 'datasets', key: keyOf(4) })
    const override = dataset(4, [])
    const preparing = datasetPreparer(options())(
      id,
      { ...override, images: [...override.images, 'http://10.0.0.1/x.png'] },
      limits,
      signal(),
    )
    await expect(preparing).rejects.toMatchObject({
      reason: 'bad-dataset',
      message:
        'image 2 (2.bin) is not a picture in JPEG, PNG, WebP, GIF, AVIF or TIFF format; ' +
        'image 3 (3.bin) is cut off: the file is not whole; ' +
        'image 4 (4.bin) is missing: the file is not in the store; and 1 more',
    })
    expect(await store.list('work', '')).toEqual([])
    expect(await readdir(folder)).toEqual([])
  })

  it.each<[string, () => Promise<Buffer> | Buffer, RegExp]>([
    ['is empty', () => Buffer.alloc(0), /is empty$/],
    [
      'is too small',
      () => picture(63, 500).png().toBuffer(),
      /is too small: 63 × 500 pixels, at least 64 a side/,
    ],
    ['is a decompression bomb', () => bomb(), /has (more|12000 × 12000) pixels/],
    [
      'is an SVG',
      () => Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"/>'),
      /not a picture/,
    ],
    ['is a PNG that is cut off', async () => (await noise()).subarray(0, 9_000), /is cut off|is broken/],
    [
      'is a WebP that is cut off',
      async () =>
        (
          await sharp(await noise())
            .webp()
            .toBuffer()
        ).subarray(0, 900),
      /is cut off|is broken|not a picture/,
    ],
    [
      'has a broken header',
      async () => Buffer.from((await noise()).fill(7, 20, 60)),
      /is broken|is cut off|not a picture|pixels/,
    ],
  ])('refuses an image that %s', async (_, make, complaint) => {
    await expect(prepare([await make()])).rejects.toMatchObject({
      reason: 'bad-dataset',
      message: expect.stringMatching(complaint),
    })
  })

  it('has files only below a prefix that names the dataset or its owner: any other is missing', async () => {
    await upload([await picture().png().toBuffer()])
    await store.write({ bucket: 'datasets', key: 'users/other/1.bin' }, 'a secret', 'image/png')
    const override = { ...dataset(2, []), images: [keyOf(1), 'users/other/1.bin'] }
    await expect(datasetPreparer(options())(id, override, limits, signal())).rejects.toThrow(
      /^image 2 \(1.bin\) is missing: the file is not in the store$/,
    )
    const anywhere = { ...options(), keys: ['*'] }
    await expect(datasetPreparer(anywhere)(id, override, limits, signal())).rejects.toThrow(/not a picture/)
  })

  it('counts a file that is named twice once, and says so', async () => {
    await upload([await picture().png().toBuffer()])
    const override = {
      ...dataset(1, ['a', 'b', 'c']),
      images: [keyOf(1), `/${keyOf(1)}`, `s3://datasets/${keyOf(1)}`],
    }
    const prepared = await datasetPreparer(options())(id, override, limits, signal())
    expect(prepared).toMatchObject({ images: 1, captions: ['a'] })
    expect(prepared.warnings).toEqual([
      'image 2 (1.bin) is the same file as image 1: it counts once.',
      'image 3 (1.bin) is the same file as image 1: it counts once.',
    ])
  })

  it('has a total size, and is refused beyond it before a file is read', async () => {
    await upload([Buffer.alloc(2 * 1024 * 1024), Buffer.alloc(2 * 1024 * 1024 + 1)])
    const small = { ...options(), maxDatasetBytes: 4 * 1024 * 1024 }
    await expect(datasetPreparer(small)(id, dataset(2, []), limits, signal())).rejects.toMatchObject({
      reason: 'bad-dataset',
      message: 'its files have 5 MB together; at most 4 MB can be trained on',
    })
  })

  it('leaves the blame with the worker where its temporary folder is missing or full', async () => {
    await upload([await picture().png().toBuffer()])
    const nowhere = { ...options(), temporaryFolder: '/dev/null/nowhere' }
    const preparing = datasetPreparer(nowhere)(id, dataset(1, []), limits, signal())
    await expect(preparing.catch(workerFault)).resolves.toMatch(
      /^this worker can't make the folder \/dev\/null\/nowhere/,
    )
  })

  it('refuses too few and too many images', async () => {
    const none = { ...limits, images: { min: 3, max: 4 } }
    const preparer = datasetPreparer(options())
    await expect(preparer(id, dataset(2, []), none, signal())).rejects.toThrow(
      'it has 2 images; at least 3 are needed',
    )
    await expect(preparer(id, dataset(5, []), none, signal())).rejects.toThrow(
      'it has 5 images; at most 4 can',
    )
  })

  it('fills missing captions, cleans odd ones, and refuses more captions than images', async () => {
    const png = await picture().png().toBuffer()
    const prepared = await prepare([png, png, png], ['a\nb\u0000c\ud800', 'x'.repeat(3000)])
    expect(prepared.captions).toEqual(['a b c\ufffd', 'x'.repeat(2000), ''])
    expect(prepared.warnings).toEqual([
      '1 of 3 images have no caption and are trained without one.',
      '1 captions were shortened to 2000 characters.',
    ])
    await expect(prepare([png], ['a', 'b'], 'b'.repeat(24))).rejects.toThrow(
      'there are 2 captions for 1 images',
    )
  })

  it('stops when it is told to', async () => {
    await upload([await picture().png().toBuffer()])
    const stopped = AbortSignal.abort(new Error('cancelled'))
    await expect(datasetPreparer(options())(id, dataset(1, []), limits, stopped)).rejects.toThrow('cancelled')
    expect(await readdir(folder)).toEqual([])
  })
})

describe('clips in a dataset', () => {
  const moving = { ...limits, clips: { maxSeconds: 4, maxPixels: 640 * 480 } }

  it('go to the trainer byte for byte where the family learns from them, whatever their names say', async () => {
    const still = await picture().jpeg().toBuffer()
    const files = [still, mp4(), webm(), webm({ seconds: null })]
    const prepared = await prepare(files, ['a', 'b', 'c', 'd'], id, moving)
    expect(prepared).toMatchObject({ images: 4, clips: 3, captions: ['a', 'b', 'c', 'd'], warnings: [] })
    const entries = await unpack(await store.read(prepared.ref))
    expect([...entries.keys()].filter((name) => !name.endsWith('.txt'))).toEqual([
      '00001.jpg',
      '00002.mp4',
      '00003.webm',
      '00004.webm',
    ])
    const clips = ['00002.mp4', '00003.webm', '00004.webm'].map((name) => entries.get(name))
    expect(clips).toEqual(files.slice(1))
  })

  it('are left out where they are notes of macOS, and read whatever characters their names have', async () => {
    const [note, odd] = [`datasets/${'d'.repeat(24)}/._kite.jpg`, `datasets/${'d'.repeat(24)}/a:b #1?.jfif`]
    const jpeg = await picture().jpeg().toBuffer()
    await store.write({ bucket: 'datasets', key: note }, Buffer.from('Mac OS X'), 'image/jpeg')
    await store.write({ bucket: 'datasets', key: odd }, jpeg, 'image/jpeg')
    const listed = { ...dataset(0, ['', 'a kite']), images: [note, `/${odd}`] }
    expect(await datasetPreparer(options())(id, listed, limits, signal())).toMatchObject({
      images: 1,
      captions: ['a kite'],
      warnings: [
        expect.stringContaining('have no caption'),
        'image 1 (._kite.jpg) is a note of macOS about another file: it is left out.',
      ],
    })
  })

  it('are left out where the family learns from images, with their captions, and are named', async () => {
    const still = await picture().jpeg().toBuffer()
    const prepared = await prepare([mp4(), still], ['a', 'b'])
    expect(prepared).toMatchObject({
      images: 1,
      clips: 0,
      captions: ['b'],
      warnings: ['image 1 (1.bin) is a clip, and this model learns from images: it is left out.'],
    })
    const entries = await unpack(await store.read(prepared.ref))
    expect(entries.get('00001.txt')?.toString()).toBe('b')
  })

  it('leave a bad dataset where too little is left without them', async () => {
    await expect(prepare([mp4(), webm()])).rejects.toMatchObject({
      reason: 'bad-dataset',
      message: 'it has 0 images that this model can learn from; at least 1 are needed',
    })
  })

  it.each<[string, Buffer, string]>([
    ['are too long', mp4({ seconds: 5 }), 'lasts 5 s: clips of at most 4 s can be trained'],
    [
      'have too many pixels',
      webm({ width: 641, height: 480 }),
      'has 641 × 480 pixels, more than can be trained',
    ],
    ['are too small', mp4({ height: 63 }), 'is too small: 320 × 63 pixels, at least 64 a side are needed'],
    ['are cut off', mp4().subarray(0, -50), 'is cut off: the file is not whole'],
    [
      'are in an old coding',
      mp4({ codec: 'mp4v' }),
      'is coded in a way other than H.264, H.265, VP8, VP9 or AV1',
    ],
    ['only begin like one', Buffer.from('1a45dfa3', 'hex'), 'holds no video that can be read'],
  ])('are refused where they %s', async (_, clip, problem) => {
    await expect(prepare([clip], [], id, moving)).rejects.toMatchObject({
      reason: 'bad-dataset',
      message: `image 1 (1.bin) ${problem}`,
    })
  })

  it('are not mistaken for still images in a container of the same kind', async () => {
    const prepared = await prepare([await picture().avif().toBuffer()], ['a'], id, moving)
    expect(prepared).toMatchObject({ images: 1, clips: 0 })
  })
})

describe('work in order', () => {
  it('keeps the order and the bound', async () => {
    let underWay = 0
    let most = 0
    const results = inOrder([1, 2, 3, 4, 5, 6], 3, async (item) => {
      most = Math.max(most, ++underWay)
      for (let turn = 0; turn < 7 - item; turn++) await null
      underWay--
      return item
    })
    const seen: number[] = []
    for await (const result of results) seen.push(result)
    expect(seen).toEqual([1, 2, 3, 4, 5, 6])
    expect(most).toBeLessThanOrEqual(3)
  })
})

async function prepare(
  images: readonly Buffer[],
  captions: readonly string[] = images.map(() => 'c'),
  training = id,
  within: Recipe['limits'] = limits,
) {
  await upload(images)
  return datasetPreparer(options())(training, dataset(images.length, captions), within, signal())
}

async function upload(images: readonly Buffer[]): Promise<void> {
  for (const [index, bytes] of images.entries()) {
    await store.write({ bucket: 'datasets', key: keyOf(index + 1) }, bytes, 'image/png')
  }
}

const keyOf = (number: number) => `datasets/${'d'.repeat(24)}/${number}.bin`

function options() {
  return { store, bucket: { name: 'datasets' }, temporaryFolder: folder, inspector }
}

function signal(): AbortSignal {
  return new AbortController().signal
}

function dataset(images: number, captions: readonly string[]): Dataset {
  return {
    id: 'd'.repeat(24),
    name: 'set',
    ownerAccountId: 'a'.repeat(24),
    status: 'ready',
    visibility: 'private',
    accessControl: [],
    images: Array.from({ length: images }, (_, index) => keyOf(index + 1)),
    captions,
    captionSetId: undefined,
  }
}

function picture(width = 128, height = 128): Sharp {
  return sharp({ create: { width, height, channels: 3, background: { r: 200, g: 100, b: 50 } } })
}

function noise(): Promise<Buffer> {
  const background = { r: 0, g: 0, b: 0 }
  const gaussian = { type: 'gaussian', mean: 128, sigma: 60 } as const
  return sharp({ create: { width: 128, height: 128, channels: 3, background, noise: gaussian } })
    .png()
    .toBuffer()
}

/** 144 megapixels, one bit each, in 18 kilobytes: a true PNG that only unpacks too large. */
function bomb(): Buffer {
  const side = 12_000
  const chunk = (type: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(type), data])
    const frame = Buffer.alloc(8)
    frame.writeUInt32BE(data.length)
    frame.writeUInt32BE(crc32(body), 4)
    return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)])
  }
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0])
  header.writeUInt32BE(side, 0)
  header.writeUInt32BE(side, 4)
  const rows = deflateSync(Buffer.alloc(side * (1 + side / 8)))
  const signature = Buffer.from('89504e470d0a1a0a', 'hex')
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', rows),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

async function unpack(archive: Buffer): Promise<Map<string, Buffer>> {
  const entries = new Map<string, Buffer>()
  const tar = extract()
  tar.end(archive)
  for await (const entry of tar) {
    expect(entry.header).toMatchObject({ mtime: new Date(0), mode: 0o644, uid: 0, gid: 0 })
    const chunks: Buffer[] = []
    for await (const chunk of entry) chunks.push(chunk as Buffer)
    entries.set(entry.header.name, Buffer.concat(chunks))
  }
  return entries
}
