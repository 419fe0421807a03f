import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { publishFromHub } from '../../src/bases/hub-base.ts'
import { openRepository } from '../../src/bases/hub-repository.ts'
import { r2Store } from '../../src/storage/r2-store.ts'
import type { Store } from '../../src/storage/store.ts'
import { startHub, type TestHub } from '../support/hub.ts'
import { startTestStore, type TestStore } from '../support/object-store.ts'
import { assemble } from '../support/safetensors.ts'

const partBytes = 5 * 1024 * 1024
const numbers = 3 * partBytes + 160
const layer = { dtype: 'BF16', shape: [numbers], data_offsets: [0, 2 * numbers] }
const weights = assemble(Buffer.from(JSON.stringify({ layer })), randomBytes(2 * numbers))
const path = 'transformer/diffusion_pytorch_model.safetensors'

let hub: TestHub
let server: TestStore
let store: Store

beforeAll(async () => {
  server = await startTestStore()
  store = r2Store({ ...server.options, partBytes })
  const files = {
    'model_index.json': JSON.stringify({
      _class_name: 'FluxPipeline',
      transformer: ['diffusers', 'FluxTransformer2DModel'],
    }),
    [path]: weights,
  }
  hub = await startHub({ 'wind/kite': { commit: 'a'.repeat(40), card: { license: 'mit' }, files } })
})
afterAll(async () => {
  await hub?.close()
  await server?.remove()
})

it('large weights go from hub to store in parallel parts, each asked for once, whole and checked', async () => {
  const repository = await openRepository(
    { name: 'wind/kite' },
    { hubUrl: hub.url, retry: { firstDelayMs: 1 } },
  )
  const copy = (name: string) => publishFromHub(store, repository, { name, family: 'FLUX' })

  const base = await copy('kite')
  expect((await store.read({ bucket: 'bases', key: `kite/${path}` })).equals(weights)).toBe(true)
  expect(base.files.find((file) => file.path === path)?.size).toBe(weights.length)
  expect(base.parameters).toEqual({ transformer: numbers })
  expect(hub.fetched.filter((each) => each.startsWith(path))).toHaveLength(7)

  hub.onDownload = (_path, _response, body) => Buffer.from(body).fill(0, partBytes, partBytes + 64)
  await expect(copy('spoilt')).rejects.toThrow(`${path} came with another sum`)
  expect(await store.info({ bucket: 'bases', key: `spoilt/${path}` })).toBeUndefined()
})
