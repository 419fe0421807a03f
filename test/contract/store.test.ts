import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest'
import { Secret } from '../../src/secret.ts'
import { r2Store } from '../../src/storage/r2-store.ts'
import type { ObjectRef, Store } from '../../src/storage/store.ts'
import { memoryStore } from '../fakes/memory-store.ts'
import { startTestStore } from '../support/object-store.ts'

type Harness = {
  readonly store: Store
  request(url: string, request?: { method?: 'GET' | 'PUT'; body?: Buffer }): Promise<Response>
  close(): Promise<void>
}

const partBytes = 5 * 1024 * 1024

const harnesses: Record<string, () => Promise<Harness>> = {
  memory: async () => {
    const store = memoryStore({ partBytes, publicUrl: 'https://models.example' })
    return { store, request: store.fetch, close: async () => {} }
  },
  'S3 server': async () => {
    const server = await startTestStore()
    const request: Harness['request'] = (url, { method = 'GET', body } = {}) =>
      fetch(url, { method, ...(body && { body: new Uint8Array(body) }) })
    return {
      store: r2Store({ ...server.options, partBytes, copyPartBytes: partBytes }),
      request,
      close: server.remove,
    }
  },
}

test('a store without a public domain names bucket and key', () => {
  const credentials = { accessKeyId: 'a', secretAccessKey: new Secret('b') }
  const buckets = { datasets: 'd', models: 'm', bases: 'b', work: 'w' }
  const real = r2Store({ endpoint: 'http://127.0.0.1:9', region: 'auto', credentials, buckets })
  expect(real.publicUrl('loras/1/a.png')).toBe('s3://m/loras/1/a.png')
  expect(memoryStore({ publicUrl: null }).publicUrl('loras/1/a.png')).toBe('s3://models/loras/1/a.png')
})

describe.each(Object.entries(harnesses))('a store (%s)', (_, open) => {
  let harness: Harness
  let store: Store
  let count = 0
  const fresh = (): ObjectRef => ({ bucket: 'work', key: `tests/${++count}/object.bin` })

  beforeAll(async () => {
    harness = await open()
    store = harness.store
  })
  afterAll(() => harness?.close())

  it('gives back what was written, whole or a range of it', async () => {
    const ref = fresh()
    await store.write(ref, 'hello, world', 'text/plain')
    expect((await store.read(ref)).toString()).toBe('hello, world')
    expect((await store.read(ref, { range: [7, 11] })).toString()).toBe('world')
    expect((await store.info(ref))?.size).toBe(12)
    const chunks: Buffer[] = []
    for await (const chunk of await store.stream(ref)) chunks.push(Buffer.from(chunk))
    expect(Buffer.concat(chunks).toString()).toBe('hello, world')
  })

  it('says that a missing object does not exist', async () => {
    const ref = fresh()
    expect(await store.info(ref)).toBeUndefined()
    await expect(store.read(ref)).rejects.toMatchObject({
      reason: 'store-failed',
      message: expect.stringContaining('it is not there'),
    })
    await store.remove(ref) // removing it is fine
  })

  it('refuses to read more than was expected', async () => {
    const ref = fresh()
    await store.write(ref, Buffer.alloc(1000), 'application/octet-stream')
    await expect(store.read(ref, { maxBytes: 999 })).rejects.toMatchObject({ reason: 'store-failed' })
    expect((await store.read(ref, { maxBytes: 1000 })).length).toBe(1000)
  })

  it('writes once: the second writer is told so and changes nothing', async () => {
    const ref = fresh()
    const tries = ['a', 'b', 'c', 'd'].map((body) => store.writeOnce(ref, body, 'text/plain'))
    const won = await Promise.all(tries)
    expect(won.filter(Boolean)).toHaveLength(1)
    expect((await store.read(ref)).toString()).toBe('abcd'[won.indexOf(true)])
  })

  it('lists what is below a prefix, in the order of keys, and forgets what was removed', async () => {
    const keys = ['lists/deep/er/c.txt', 'lists/a.txt', 'lists/b.txt']
    for (const key of keys) await store.write({ bucket: 'work', key }, 'x', 'text/plain')
    await store.write({ bucket: 'work', key: 'listless.txt' }, 'x', 'text/plain')
    await store.remove({ bucket: 'work', key: 'lists/a.txt' })
    const found = await store.list('work', 'lists/')
    expect(found.map(({ key }) => key)).toEqual(['lists/b.txt', 'lists/deep/er/c.txt'])
    expect(found[0]).toMatchObject({ bucket: 'work', size: 1 })
  })

  it('keeps odd names as they are', async () => {
    const key = `odd/ü ß+&=?#%20 'quoted" (1).png`
    await store.write({ bucket: 'work', key }, 'odd', 'image/png')
    expect((await store.list('work', 'odd/')).map((each) => each.key)).toEqual([key])
    const answer = await harness.request(await store.presignRead({ bucket: 'work', key }, 60))
    expect(await answer.text()).toBe('odd')
    expect(store.publicUrl('a b/ü?.png')).toBe('https://models.example/a%20b/%C3%BC%3F.png')
  })

  it('lets the holder of a presigned URL read or write that object, and nothing else', async () => {
    const ref = fresh()
    const write = await store.presignWrite(ref, 60)
    const put = await harness.request(write, { method: 'PUT', body: Buffer.from('by url') })
    expect(put.status).toBe(200)
    expect((await store.read(ref)).toString()).toBe('by url')
    const read = await store.presignRead(ref, 60)
    expect(await (await harness.request(read)).text()).toBe('by url')
    expect((await harness.request(read, { method: 'PUT', body: Buffer.from('no') })).status).toBe(403)
  })

  it('refuses a presigned URL when its time is over', async () => {
    const ref = fresh()
    await store.write(ref, 'x', 'text/plain')
    const url = await store.presignRead(ref, 1)
    const status = async () => (await harness.request(url)).status
    await expect.poll(status, { timeout: 5_000, interval: 100 }).toBe(403)
  })

  it('takes a large object in equal parts, by presigned URLs, and looks at it afterwards', async () => {
    const ref = fresh()
    const body = randomBytes(2 * partBytes + 1234)
    const upload = await store.beginUpload(ref, body.length, 'application/octet-stream', 60)
    expect(upload.partBytes).toBe(partBytes)
    expect(upload.urls).toHaveLength(3)
    const etags = await Promise.all(
      upload.urls.map(async (url, index) => {
        const part = body.subarray(index * partBytes, (index + 1) * partBytes)
        const answer = await harness.request(url, { method: 'PUT', body: part })
        expect(answer.status).toBe(200)
        return answer.headers.get('etag') ?? ''
      }),
    )
    await store.completeUpload(upload, etags, body.length)
    await store.completeUpload(upload, etags, body.length) // again, as after a lost answer
    expect((await store.info(ref))?.etag).toMatch(/-3"?$/)
    expect((await store.read(ref)).equals(body)).toBe(true)
    await expect(store.completeUpload(upload, etags, body.length + 1)).rejects.toMatchObject({
      reason: 'store-failed',
    })
  })

  it('takes what is handed out in parts, in order, and keeps nothing where that ends early', async () => {
    const ref = fresh()
    const body = randomBytes(3 * partBytes + 7)
    const starts: number[] = []
    const read = async (start: number, end: number) => {
      starts.push(start)
      return body.subarray(start, end)
    }
    await store.writeParts(ref, body.length, read, 'application/octet-stream')
    expect((await store.read(ref)).equals(body)).toBe(true)
    expect(starts).toEqual([0, 1, 2, 3].map((part) => part * partBytes))

    const other = fresh()
    const broken = async (start: number, end: number) => {
      if (start > 0) throw new Error('the source is gone')
      return read(start, end)
    }
    const sending = store.writeParts(other, body.length, broken, 'application/octet-stream')
    await expect(sending).rejects.toThrow('the source is gone')
    expect(await store.info(other)).toBeUndefined()
    await store.writeParts(other, 0, read, 'application/octet-stream')
    expect((await store.info(other))?.size).toBe(0)
  })

  it('copies within itself, small and large, with the content type', async () => {
    for (const size of [0, 10, 2 * partBytes + 77]) {
      const from = fresh()
      const to: ObjectRef = { bucket: 'models', key: `copies/ü ß+${size}.png` }
      const body = randomBytes(size)
      await store.writeParts(from, size, async (start, end) => body.subarray(start, end), 'image/png')
      await store.copy(from, to)
      await store.copy(from, to) // again, as after a lost answer
      const answer = await harness.request(await store.presignRead(to, 60))
      expect(answer.headers.get('content-type')).toBe('image/png')
      expect(Buffer.from(await answer.arrayBuffer()).equals(body)).toBe(true)
      expect((await store.info(from))?.size).toBe(size)
    }
    const missing = store.copy(fresh(), { bucket: 'models', key: 'copies/missing' })
    await expect(missing).rejects.toMatchObject({
      reason: 'store-failed',
      message: expect.stringContaining('it is not there'),
    })
    expect(await store.info({ bucket: 'models', key: 'copies/missing' })).toBeUndefined()
  })

  it('refuses to complete an upload whose parts are not all there', async () => {
    const ref = fresh()
    const upload = await store.beginUpload(ref, partBytes + 1, 'application/octet-stream', 60)
    const first = await harness.request(upload.urls[0] ?? '', {
      method: 'PUT',
      body: Buffer.alloc(partBytes),
    })
    const etags = [first.headers.get('etag') ?? '', '"00000000000000000000000000000000"']
    await expect(store.completeUpload(upload, etags, partBytes + 1)).rejects.toMatchObject({
      reason: 'store-failed',
    })
    expect(await store.info(ref)).toBeUndefined()
    await store.abandonUpload(upload)
    await store.abandonUpload(upload)
  })

  it('uploads files of this computer, small and large', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'bellows-test-'))
    const path = join(folder, 'file')
    for (const size of [0, 10, 2 * partBytes + 77]) {
      const ref = fresh()
      const body = randomBytes(size)
      await writeFile(path, body)
      await store.writeFile(ref, path, 'application/octet-stream')
      expect((await store.read(ref)).equals(body)).toBe(true)
    }
    await rm(folder, { recursive: true })
  })
})
