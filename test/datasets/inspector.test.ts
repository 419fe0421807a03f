import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createInspector } from '../../src/datasets/inspector.ts'
import { webm } from '../support/clips.ts'
import { interlacedPng, pngOfTexts, webmOfManyTracks } from '../support/hostile-files.ts'
import { picture } from '../support/pictures.ts'
import { watchTimer } from '../support/thread-time.ts'

const limits = { minSide: 64, maxSide: 256, clips: { maxSeconds: 4, maxPixels: 640 * 480 } }
const never = new AbortController().signal

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bellows-test-'))
})
afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }))

test.for<[string, () => Buffer, RegExp]>([
  ['a WebM of many tracks', () => webmOfManyTracks(256 * 1024), /^took longer than 3 s/],
  [
    'a PNG with 200 compressed text chunks',
    () => pngOfTexts(64, 200, 8_000_000),
    /^(took longer than 3 s|needs more than)/,
  ],
  [
    'an interlaced PNG of 16 bits a channel',
    () => interlacedPng(8_900),
    /^(took longer than 3 s|needs more than)/,
  ],
])(
  '%s is stopped, the timer of the worker stays on time, and the next file is read',
  { timeout: 60_000 },
  async ([, make, why]) => {
    const bytes = make()
    const inspector = createInspector({ atOnce: 1, fileMs: 3_000 })
    const hostile = await put(bytes)
    const good = await put(await picture().png().toBuffer())
    const timer = watchTimer()
    const both = await Promise.all([inspect(inspector, hostile), inspect(inspector, good)])
    expect(timer.stop()).toBeLessThan(200)
    expect(both).toEqual([
      { stopped: expect.stringMatching(why) },
      { clean: 'written', extension: 'png', warnings: [] },
    ])
  },
)

test('a child serves file after file, clips too, and a clean image is where it was asked for', async () => {
  const inspector = createInspector({ atOnce: 1 })
  const image = await put(await picture().jpeg().toBuffer())
  expect(await inspect(inspector, image)).toMatchObject({ clean: 'written', extension: 'jpg' })
  expect((await stat(`${image}.clean`)).size).toBeGreaterThan(100)
  expect(await inspect(inspector, await put(webm()))).toMatchObject({ clean: 'given', extension: 'webm' })
})

test('what waits or runs ends at once when its job is cancelled, and others go on', async () => {
  const inspector = createInspector({ atOnce: 1 })
  const cancelled = new AbortController()
  const running = inspect(inspector, await put(webmOfManyTracks(256 * 1024)), cancelled.signal)
  const waiting = inspect(inspector, await put(webm()), cancelled.signal)
  const other = inspect(inspector, await put(webm()))
  cancelled.abort(new Error('cancelled'))
  await expect(running).rejects.toThrow('cancelled')
  await expect(waiting).rejects.toThrow('cancelled')
  expect(await other).toMatchObject({ clean: 'given' })
})

test("a file that can't be written is the worker's fault, not the image's", async () => {
  const inspector = createInspector({ atOnce: 1 })
  const path = await put(await picture().png().toBuffer())
  const asked = inspector.turn((ask) => ask({ path, cleanPath: '/dev/full', limits }), never)
  await expect(asked).rejects.toMatchObject({ reason: 'disk-full', cause: { code: 'ENOSPC' } })
})

let files = 0
async function put(bytes: Buffer): Promise<string> {
  const path = join(folder, `${++files}`)
  await writeFile(path, bytes)
  return path
}

function inspect(inspector: ReturnType<typeof createInspector>, path: string, signal = never) {
  return inspector.turn((ask) => ask({ path, cleanPath: `${path}.clean`, limits }), signal)
}
