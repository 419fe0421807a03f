import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { pack } from 'tar-stream'
import { afterEach, expect, test } from 'vitest'
import { type Answer, helper, jobFolder, md5, sendRange, sha256, startHelper, startStore } from './helper.ts'

const mebibyte = 2 ** 20
const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})

const setUp = async (misbehave?: Answer, files: Record<string, string | Buffer> = {}) => {
  const store = await startStore(misbehave)
  const job = jobFolder(files)
  cleanups.push(store.close, job.remove)
  const read = (path: string) => readFileSync(join(job.root, path))
  const download = (...wanted: object[]) => ({ operation: 'download', root: job.root, files: wanted })
  const offer = (path: string, content: Buffer, more: object = {}) => {
    store.objects.set(`/${path}`, content)
    return { url: store.url(`/${path}`), path, size: content.length, sha256: sha256(content), ...more }
  }
  return { store, root: job.root, read, download, offer }
}

test('a large file comes in ranges and small ones beside it, each with the right bytes', async () => {
  const { store, download, offer, read } = await setUp()
  const large = randomBytes(50 * mebibyte + 7)
  const files = [offer('base/unet/model.safetensors', large), offer('base/empty', Buffer.alloc(0))]
  for (let index = 0; index < 20; index++) files.push(offer(`base/${index}.json`, randomBytes(index + 1)))
  const run = startHelper(download(...files))
  expect(await run.ended).toEqual({ event: 'done' })
  expect(sha256(read('base/unet/model.safetensors'))).toBe(sha256(large))
  expect(read('base/19.json')).toEqual(store.objects.get('/base/19.json'))
  expect(read('base/empty')).toHaveLength(0)
  const total = files.reduce((sum, file) => sum + file.size, 0)
  expect(run.events.filter(({ event }) => event === 'progress').at(-1)).toMatchObject({
    bytes: total,
    totalBytes: total,
  })
})

test('what is there with the right sum is not fetched again, and what has a wrong one is', async () => {
  const content = randomBytes(1000)
  const { store, download, offer, read } = await setUp(undefined, {
    right: content,
    wrong: Buffer.alloc(1000),
  })
  expect(await helper(download(offer('right', content), offer('wrong', content)))).toEqual({ event: 'done' })
  expect(store.requests).toEqual(['GET /wrong bytes=0-999'])
  expect(read('wrong')).toEqual(content)
})

test('what the machine’s image has under its sum is copied and not fetched, unless the sum is wrong', async () => {
  const [shelved, damaged, other] = [randomBytes(3 * mebibyte), randomBytes(1000), randomBytes(10)]
  const { store, root, download, offer, read } = await setUp(undefined, {
    [`weights/${sha256(shelved)}`]: shelved,
    [`weights/${sha256(damaged)}`]: Buffer.alloc(1000),
  })
  const files = [offer('base/shelved', shelved), offer('base/damaged', damaged), offer('base/other', other)]
  const run = startHelper({ ...download(...files), shelf: join(root, 'weights') })
  expect(await run.ended).toEqual({ event: 'done' })
  expect(store.requests.sort()).toEqual(['GET /base/damaged bytes=0-999', 'GET /base/other bytes=0-9'])
  expect(['shelved', 'damaged', 'other'].map((name) => sha256(read(`base/${name}`)))).toEqual(
    files.map((file) => file.sha256),
  )
  expect(readdirSync(join(root, 'base')).sort()).toEqual(['damaged', 'other', 'shelved'])
  const total = shelved.length + damaged.length + other.length
  expect(run.events.findLast(({ event }) => event === 'progress')).toMatchObject({
    bytes: total,
    totalBytes: total,
  })
})

test('errors of the store and cut connections are waited out, going on from the byte that came last', async () => {
  const content = randomBytes(40 * mebibyte)
  const { store, download, offer, read } = await setUp((request, response, count) => {
    if (count % 3 === 1) response.writeHead(503).end('slow down')
    else if (count % 3 === 2) sendRange(request, response, content, 3 * mebibyte)
    else return false
    return true
  })
  expect(await helper(download(offer('file', content)))).toEqual({ event: 'done' })
  expect(sha256(read('file'))).toBe(sha256(content))
  expect(store.requests.some((line) => Number(/bytes=(\d+)/.exec(line)?.[1]) % (16 * mebibyte) > 0)).toBe(
    true,
  )
})

test('a store that never answers well ends in a sentence without the URL’s secret', async () => {
  const { download, offer } = await setUp((_, response) => Boolean(response.writeHead(500).end()))
  const end = await helper(download(offer('file', randomBytes(10))))
  expect(end).toMatchObject({ event: 'failed', reason: 'store-failed' })
  expect(end.detail).toMatch(/\/file answered 500/)
  expect(JSON.stringify(end)).not.toContain('secret')
})

test('a refusal is final at once', async () => {
  const { store, download, offer } = await setUp((_, response) => Boolean(response.writeHead(403).end()))
  expect(await helper(download(offer('file', randomBytes(10))))).toMatchObject({ reason: 'store-failed' })
  expect(store.requests).toHaveLength(1)
})

test('a file with another sum is fetched once more, then refused, and nothing of it is left', async () => {
  const { store, download, offer, root } = await setUp()
  const wanted = { ...offer('file', randomBytes(10)), sha256: '0'.repeat(64) }
  expect(await helper(download(wanted))).toMatchObject({ event: 'failed', reason: 'store-failed' })
  expect(store.requests).toHaveLength(2)
  expect(readdirSync(root)).toEqual([])
})

test('an object of another size than announced is refused', async () => {
  const { download, offer } = await setUp()
  const wanted = { ...offer('file', randomBytes(10)), size: 9 }
  expect(await helper(download(wanted))).toMatchObject({ event: 'failed', reason: 'store-failed' })
})

test('a helper that was killed leaves what came, and the next one fetches only the rest', async () => {
  const content = randomBytes(64 * mebibyte)
  const half = Promise.withResolvers<void>()
  let hold = true
  const { store, download, offer, read } = await setUp((request) => {
    // The last chunk waits, so that the first ones are done when the helper dies.
    if (!hold || !request.headers.range?.startsWith(`bytes=${48 * mebibyte}`)) return false
    half.resolve()
    return true
  })
  const wanted = offer('file', content)
  const first = startHelper(download(wanted))
  await half.promise
  await awaitBytes(first, 48 * mebibyte)
  first.child.kill('SIGKILL')
  await once(first.child, 'close')
  hold = false
  const before = store.requests.length
  expect(await helper(download(wanted))).toEqual({ event: 'done' })
  expect(store.requests.length - before).toBeLessThan(4)
  expect(sha256(read('file'))).toBe(sha256(content))
})

test('a helper whose caller is gone stops', async () => {
  const asked = Promise.withResolvers<void>()
  const { download, offer } = await setUp(() => {
    asked.resolve()
    return true
  })
  const run = startHelper(download(offer('file', randomBytes(10))))
  await asked.promise
  run.child.stdin.end()
  const [code] = await once(run.child, 'close')
  expect(code).toBe(1)
})

test('what does not fit on the disk is refused before a byte is asked for', async () => {
  const { store, download, offer } = await setUp()
  const end = await helper(download({ ...offer('file', randomBytes(10)), size: 1e15 }))
  expect(end).toMatchObject({ event: 'failed', reason: 'disk-full' })
  expect(end.detail).toMatch(/1000000.07 GB are needed/)
  expect(store.requests).toEqual([])
})

test.each([
  ['one that climbs out', '../out'],
  ['an absolute one', '/etc/passwd'],
  ['one that climbs out later', 'a/../../b'],
  ['one with an empty name', 'a//b'],
  ['the folder itself', '.'],
  ['one with a NUL', 'a\0b'],
  ['one with a line break', 'a\nb'],
  ['one with a name of 300 characters', 'x'.repeat(300)],
])('a path that is no plain one below the folder is refused: %s', async (_, path) => {
  const { store, download, offer } = await setUp()
  expect(await helper(download({ ...offer('file', randomBytes(10)), path }))).toMatchObject({
    reason: 'internal',
  })
  expect(store.requests).toEqual([])
})

test('a link that a container has put in the way is not followed', async () => {
  const outside = jobFolder({ authorized_keys: 'before' })
  cleanups.push(outside.remove)
  const { download, offer, root } = await setUp()
  symlinkSync(outside.root, join(root, 'base'))
  expect(await helper(download(offer('base/authorized_keys', Buffer.from('after'))))).toMatchObject({
    event: 'failed',
  })
  symlinkSync(join(outside.root, 'authorized_keys'), join(root, 'plan.json'))
  await helper({
    operation: 'write',
    root,
    path: 'plan.json',
    content: Buffer.from('plan').toString('base64'),
  })
  expect(readFileSync(join(root, 'plan.json'), 'utf8')).toBe('plan')
  expect(readFileSync(join(outside.root, 'authorized_keys'), 'utf8')).toBe('before')
  expect(
    await helper({ operation: 'read', root, path: 'base/authorized_keys', maxBytes: 100 }),
  ).toMatchObject({ found: false })
})

type Entry = {
  name: string
  type?: 'symlink' | 'link' | 'character-device' | 'fifo'
  linkname?: string
  content?: string
}

const archive = async (...entries: Entry[]): Promise<Buffer> => {
  const tar = pack()
  for (const { content, ...header } of entries) tar.entry(header, content ?? '')
  tar.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of tar) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

test('an archive becomes a folder, once: what the trainer changes there later stays', async () => {
  const { store, download, offer, read, root } = await setUp(undefined, { 'checkpoint/stale': 'x' })
  const tar = await archive(
    { name: 'state.json', content: '{"step":5}' },
    { name: 'optimizer/a.bin', content: 'b' },
  )
  const wanted = offer('checkpoint', tar, { unpack: true })
  expect(await helper(download(wanted))).toEqual({ event: 'done' })
  expect(read('checkpoint/optimizer/a.bin').toString()).toBe('b')
  expect(readdirSync(root).sort()).toEqual(['.staged', 'checkpoint'])
  expect(existsSync(join(root, 'checkpoint/stale'))).toBe(false)
  writeFileSync(join(root, 'checkpoint/state.json'), '{"step":6}')
  expect(await helper(download(wanted))).toEqual({ event: 'done' })
  expect(read('checkpoint/state.json').toString()).toBe('{"step":6}')
  expect(store.requests).toHaveLength(1)
})

test.each<[string, Entry[]]>([
  ['a name that climbs out', [{ name: '../evil', content: 'x' }]],
  ['an absolute name', [{ name: '/tmp/evil', content: 'x' }]],
  ['a symbolic link', [{ name: 'evil', type: 'symlink', linkname: '/etc' }]],
  [
    'a link and a file through it',
    [
      { name: 'l', type: 'symlink', linkname: '/tmp' },
      { name: 'l/evil', content: 'x' },
    ],
  ],
  ['a hard link', [{ name: 'evil', type: 'link', linkname: '/etc/passwd' }]],
  ['a device', [{ name: 'evil', type: 'character-device' }]],
  ['a pipe', [{ name: 'evil', type: 'fifo' }]],
  [
    'a name twice',
    [
      { name: 'a', content: 'x' },
      { name: 'a', content: 'y' },
    ],
  ],
  ['a name with a line break', [{ name: 'a\nb', content: 'x' }]],
])('an archive with %s is refused as a whole', async (_, entries) => {
  const { download, offer, root } = await setUp()
  const tar = await archive({ name: 'good.txt', content: 'good' }, ...entries)
  const end = await helper(download(offer('dataset', tar, { unpack: true })))
  expect(end).toMatchObject({ event: 'failed', reason: 'internal' })
  expect(readdirSync(root)).toEqual([])
  expect(existsSync('/tmp/evil')).toBe(false)
})

test('an archive that is cut off is refused', async () => {
  const { download, offer, root } = await setUp()
  const tar = await archive({ name: 'a', content: 'x'.repeat(5000) })
  expect(await helper(download(offer('dataset', tar.subarray(0, 2000), { unpack: true })))).toMatchObject({
    event: 'failed',
  })
  expect(readdirSync(root)).toEqual([])
})

test('a file goes up in parts and their ETags come back in order, through errors and cuts', async () => {
  const content = randomBytes(23 * mebibyte)
  const { store, root } = await setUp(
    (request, response, count) => {
      if (count > 4) return false
      if (count % 2) response.writeHead(500).end()
      else request.once('data', () => request.socket.destroy())
      return true
    },
    { 'out/model.safetensors': content },
  )
  const parts = [0, 1, 2, 3, 4].map((index) =>
    content.subarray(index * 5 * mebibyte, (index + 1) * 5 * mebibyte),
  )
  const urls = parts.map((_, index) => store.url(`/part-${index}`))
  const job = { operation: 'upload', root, path: 'out/model.safetensors', partBytes: 5 * mebibyte, urls }
  const run = startHelper(job)
  expect(await run.ended).toEqual({ event: 'done' })
  const etags = run.events.filter(({ event }) => event === 'part')
  expect(etags.map(({ etag }) => etag)).toEqual(parts.map((part) => `"${md5(part)}"`))
  for (const [index, part] of parts.entries())
    expect(store.objects.get(`/part-${index}`)?.equals(part)).toBe(true)
  expect(await helper({ ...job, urls: urls.slice(1) })).toMatchObject({ event: 'failed', reason: 'internal' })
})

test('a store that refuses parts ends the upload in its own words', async () => {
  const { store, root } = await setUp((_, response) => Boolean(response.writeHead(403).end()), {
    'out/m': randomBytes(3 * mebibyte),
  })
  const urls = [0, 1, 2].map((index) => store.url(`/${index}`))
  const job = { operation: 'upload', root, path: 'out/m', partBytes: mebibyte, urls }
  expect(await helper(job)).toMatchObject({ event: 'failed', reason: 'store-failed' })
})

test('a checkpoint goes up as one tar that unpacks to the same files elsewhere', async () => {
  const deep = `deep/${'n'.repeat(120)}.bin`
  const { store, root, read, download } = await setUp(undefined, {
    'checkpoint/state.json': '{"step":7}',
    [`checkpoint/${deep}`]: randomBytes(3 * mebibyte + 1),
    'checkpoint/empty': '',
  })
  symlinkSync('/etc/passwd', join(root, 'checkpoint/link'))
  const url = store.url('/checkpoint.tar')
  const end = await helper({ operation: 'upload-folder', root, folder: 'checkpoint', url })
  const tar = store.objects.get('/checkpoint.tar') ?? Buffer.alloc(0)
  expect(end).toEqual({ event: 'done', size: tar.length, sha256: sha256(tar) })
  const before = read(`checkpoint/${deep}`)
  const wanted = { url, path: 'checkpoint', size: tar.length, sha256: sha256(tar), unpack: true }
  expect(await helper(download(wanted))).toEqual({ event: 'done' })
  expect(read(`checkpoint/${deep}`).equals(before)).toBe(true)
  expect(readdirSync(join(root, 'checkpoint')).sort()).toEqual(['deep', 'empty', 'state.json'])
})

test('a listing names plain files with their sums, and no link, pipe or odd name', async () => {
  const { root } = await setUp(undefined, {
    'out/model': 'abc',
    'out/samples/1.png': '',
    'out/new\nline': 'x',
  })
  symlinkSync('/etc/passwd', join(root, 'out/link'))
  symlinkSync('/etc', join(root, 'out/folder'))
  mkdirSync(join(root, 'elsewhere'))
  expect(lstatSync(join(root, 'out/link')).isSymbolicLink()).toBe(true)
  const run = startHelper({ operation: 'list', root, folder: 'out' })
  await run.ended
  expect(run.events).toEqual([
    { event: 'file', path: 'out/model', size: 3, sha256: sha256(Buffer.from('abc')) },
    { event: 'file', path: 'out/samples/1.png', size: 0, sha256: sha256(Buffer.alloc(0)) },
    { event: 'done' },
  ])
  const missing = startHelper({ operation: 'list', root, folder: 'checkpoint' })
  await missing.ended
  expect(missing.events).toEqual([{ event: 'done' }])
})

test('files are read up to a limit, and written whole', async () => {
  const { root } = await setUp()
  const content = Buffer.from('{"é":1}').toString('base64')
  expect(await helper({ operation: 'write', root, path: 'a/plan.json', content })).toEqual({ event: 'done' })
  const run = startHelper({ operation: 'read', root, path: 'a/plan.json', maxBytes: 100 })
  expect(await run.ended).toMatchObject({ found: true })
  expect(run.events[0]).toEqual({ event: 'content', start: 0, base64: content })
  expect(await helper({ operation: 'read', root, path: 'a/plan.json', maxBytes: 3 })).toMatchObject({
    event: 'failed',
  })
  expect(await helper({ operation: 'read', root, path: 'missing', maxBytes: 3 })).toMatchObject({
    found: false,
  })
})

/** Resolves when the helper has told that so many bytes are there. */
const awaitBytes = async (run: ReturnType<typeof startHelper>, bytes: number): Promise<void> => {
  while (!run.events.some((event) => Number(event.bytes) >= bytes)) await once(run.child.stdout, 'data')
}
