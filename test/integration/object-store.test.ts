import { createHash, randomBytes } from 'node:crypto'
import { readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startCdn } from '../../local/emulator/cdn.ts'
import { mendUploads, startObjectStore } from '../../local/emulator/object-store.ts'
import { r2Store } from '../../src/storage/r2-store.ts'
import type { Store } from '../../src/storage/store.ts'
import { type BadLine, startBadLine } from '../support/bad-line.ts'
import { buckets, startTestStore, type TestStore } from '../support/object-store.ts'

const partBytes = 5 * 1024 * 1024
let server: TestStore
let store: Store

beforeAll(async () => {
  server = await startTestStore()
  store = r2Store({ ...server.options, partBytes })
})
afterAll(() => server?.remove())

describe('the local object store', () => {
  it('finds the parts again that a server killed while completing has hidden', async () => {
    const ref = { bucket: 'models', key: 'killed/model.safetensors' } as const
    const body = randomBytes(partBytes + 10)
    const upload = await store.beginUpload(ref, body.length, 'application/octet-stream', 60)
    const etags = await Promise.all(upload.urls.map((url, index) => putPart(url, body, index)))
    const key = createHash('sha256').update(ref.key).digest('hex')
    const scratch = join(server.dir, buckets.models, '.sgwtmp', 'multipart', key)
    const [uploadId = ''] = await readdir(scratch)
    await rename(join(scratch, uploadId), join(scratch, `${uploadId}.abc-2.inprogress`))
    await expect(store.completeUpload(upload, etags, body.length)).rejects.toThrow('store failed')

    await mendUploads(server.dir)
    await store.completeUpload(upload, etags, body.length)
    expect((await store.read(ref)).equals(body)).toBe(true)
  })

  it('ends at its start, with the reason, where its address is taken', async () => {
    const port = Number(new URL(server.endpoint).port)
    await expect(startObjectStore(server.binary, server.dir, { port })).rejects.toThrow('ended at its start')
  })
})

describe('the store behind a bad line', () => {
  let line: BadLine
  let far: Store
  const ref = { bucket: 'work', key: 'line/object' } as const

  beforeAll(async () => {
    line = await startBadLine(server.endpoint)
    far = r2Store({ ...server.options, endpoint: line.endpoint, partBytes, retry: { firstDelayMs: 1 } })
  })
  afterAll(() => line?.close())

  it('asks again when the service is overloaded, five times in all', async () => {
    await store.write(ref, 'a', 'text/plain')
    line.spoil(503, 429, 500)
    expect((await far.read(ref)).toString()).toBe('a')
    expect(line.asked()).toBe(4)
    line.spoil(503, 503, 503, 503, 503)
    await expect(far.info(ref)).rejects.toMatchObject({ reason: 'store-failed' })
    expect(line.asked()).toBe(5)
  })

  it('does not ask again for what is not there or not allowed', async () => {
    line.spoil()
    await expect(far.read({ bucket: 'work', key: 'nothing' })).rejects.toThrow('it is not there')
    expect(line.asked()).toBe(1)
    line.spoil(403)
    await expect(far.read(ref)).rejects.toThrow('HTTP 403')
    expect(line.asked()).toBe(1)
  })

  it('reads an answer that was cut in the middle again', async () => {
    const body = randomBytes(100_000)
    await store.write(ref, body, 'application/octet-stream')
    line.spoil('cut', 'cut')
    expect((await far.read(ref)).equals(body)).toBe(true)
    expect(line.asked()).toBe(3)
  })

  it('knows its own writing again when the answer to it was lost', async () => {
    const fresh = { bucket: 'work', key: `line/once-${randomBytes(4).toString('hex')}` } as const
    line.spoil('lose answer')
    expect(await far.writeOnce(fresh, 'mine', 'text/plain')).toBe(true)
    line.spoil('lose answer')
    expect(await far.writeOnce(fresh, 'theirs', 'text/plain')).toBe(false)
    expect((await store.read(fresh)).toString()).toBe('mine')
  })

  it('completes an upload whose answer was lost', async () => {
    const body = randomBytes(partBytes + 1)
    const upload = await far.beginUpload(ref, body.length, 'application/octet-stream', 60)
    const etags = await Promise.all(upload.urls.map((url, index) => putPart(url, body, index)))
    line.spoil('lose answer')
    await far.completeUpload(upload, etags, body.length)
    expect((await store.read(ref)).equals(body)).toBe(true)
  })

  it('never shows a secret in its errors', async () => {
    line.spoil(403)
    const error = await far.read(ref).catch((each: Error) => each)
    expect(inspect(error, { depth: 8 })).not.toContain(server.secretAccessKey.reveal())
  })
})

async function putPart(url: string, body: Buffer, index: number): Promise<string> {
  const part = new Uint8Array(body.subarray(index * partBytes, (index + 1) * partBytes))
  return (await fetch(url, { method: 'PUT', body: part })).headers.get('etag') ?? ''
}

describe('the local CDN', () => {
  it('serves one bucket to the public, ranges too, and nothing else', async () => {
    const cdn = await startCdn({ store: server, bucket: buckets.models })
    try {
      await store.write(
        { bucket: 'models', key: 'loras/1/a b.safetensors' },
        '0123456789',
        'application/x-lora',
      )
      await store.write({ bucket: 'work', key: 'secret.txt' }, 'secret', 'text/plain')
      const url = `${cdn.url}/loras/1/a%20b.safetensors`

      const whole = await fetch(url)
      expect([whole.status, whole.headers.get('content-type'), await whole.text()]).toEqual([
        200,
        'application/x-lora',
        '0123456789',
      ])
      const range = await fetch(url, { headers: { range: 'bytes=2-4' } })
      expect([range.status, range.headers.get('content-range'), await range.text()]).toEqual([
        206,
        'bytes 2-4/10',
        '234',
      ])
      const head = await fetch(url, { method: 'HEAD' })
      expect([head.status, head.headers.get('content-length')]).toEqual([200, '10'])

      expect((await fetch(url, { headers: { range: 'bytes=20-30' } })).status).toBe(416)
      expect((await fetch(url, { method: 'PUT', body: 'x' })).status).toBe(405)
      for (const path of [
        '/',
        '/loras/',
        '/loras/1/',
        '/secret.txt',
        '/%2e%2e/test-work/secret.txt',
        '/%',
        '/?list-type=2',
      ]) {
        expect([path, (await fetch(cdn.url + path)).status]).toEqual([path, 404])
      }
    } finally {
      await cdn.stop()
    }
  })
})
