/** A deployment whose models bucket has no public domain, on a real store: who is to have a model can fetch it. */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { comfyDeploy } from '../../src/models/comfy-deploy.ts'
import type { PublishedFile } from '../../src/models/comfyui.ts'
import { syncComfyUi } from '../../src/models/comfyui-sync.ts'
import { listWithLinks, withLinks } from '../../src/models/links.ts'
import { Secret } from '../../src/secret.ts'
import { r2Store } from '../../src/storage/r2-store.ts'
import type { Store } from '../../src/storage/store.ts'
import { startWeb } from '../../src/web/server.ts'
import type { Status } from '../../src/web/status.ts'
import { memoryComfyUiFolder } from '../fakes/memory-comfyui-folder.ts'
import { startTestStore, type TestStore } from '../support/object-store.ts'

const token = new Secret('0a9b8c7d6e5f4a3b')
const body = randomBytes(100_000)
const key = 'loras/1/3f9c/1/kite.safetensors'
let server: TestStore
let store: Store
let file: PublishedFile
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bellows-test-loras-'))
  server = await startTestStore()
  store = r2Store({ ...server.options, publicUrl: undefined })
  await store.write({ bucket: 'models', key }, body, 'application/octet-stream')
  const sha256 = createHash('sha256').update(body).digest('hex')
  file = { modelId: 'm', filename: 'kite.safetensors', url: store.publicUrl(key), size: body.length, sha256 }
})
afterAll(async () => {
  await server?.remove()
  await rm(folder, { recursive: true, force: true })
})

test('its address alone opens nothing', async () => {
  expect(file.url).toBe(`s3://test-models/${key}`)
  const answer = await fetch(`${server.endpoint}/test-models/${key}`)
  expect(answer.status).toBe(403)
})

test('bellows sync brings it from the worker’s list', async () => {
  const published = memoryComfyUiFolder()
  await published.install(file)
  const web = await startWeb({
    host: '127.0.0.1',
    port: 0,
    hostNames: [],
    statusToken: undefined,
    status: {} as Status,
    metrics: new Registry(),
    files: () => listWithLinks(published, store),
    token,
  })
  try {
    const synced = await syncComfyUi({ from: web.url, token, to: folder })
    expect(synced).toEqual({ downloaded: ['kite.safetensors'], refused: [] })
    expect((await readFile(join(folder, 'kite.safetensors'))).equals(body)).toBe(true)
  } finally {
    await web.close()
  }
})

test('ComfyDeploy fetches it from the link that it is told', async () => {
  const fetched: Buffer[] = []
  const service = createServer(async (request, response) => {
    const told = JSON.parse(Buffer.concat(await request.toArray()).toString())
    fetched.push(Buffer.from(await (await fetch(told.downloadLink)).arrayBuffer()))
    response.end('{"id":"volume-1"}')
  }).listen(0, '127.0.0.1')
  await once(service, 'listening')
  try {
    const endpoint = `http://127.0.0.1:${(service.address() as AddressInfo).port}`
    const comfyUi = withLinks(comfyDeploy({ endpoint, key: new Secret('key') }), store)
    expect(await comfyUi.install(file)).toBe('volume-1')
    expect(fetched[0]?.equals(body)).toBe(true)
  } finally {
    service.close()
  }
})
