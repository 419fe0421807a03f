import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readBaseModel } from '../../src/bases/bases.ts'
import { type HubBaseOptions, publishFromHub } from '../../src/bases/hub-base.ts'
import { openRepository, parseRepositoryName } from '../../src/bases/hub-repository.ts'
import { Secret } from '../../src/secret.ts'
import { type MemoryStore, memoryStore } from '../fakes/memory-store.ts'
import { type HubModel, startHub, type TestHub, tokens } from '../support/hub.ts'

const commit = 'c0ffee'.repeat(6).concat('c0de')
const mebibyte = 1024 * 1024
const unet = randomBytes(2.5 * mebibyte)
const index = {
  _class_name: 'StableDiffusionXLPipeline',
  unet: ['diffusers', 'UNet2DConditionModel'],
  tokenizer: ['transformers', 'CLIPTokenizer'],
  image_encoder: [null, null],
  force_zeros_for_empty_prompt: true,
}
const kite: HubModel = {
  commit,
  revisions: ['v1.0', 'refs/pr/3'],
  card: { license: 'openrail++' },
  files: {
    '.gitattributes': '*.safetensors filter=lfs',
    'README.md': '# Kite',
    'kite_1.0.safetensors': 'everything in one file',
    'model_index.json': JSON.stringify(index),
    'unet/config.json': '{}',
    'unet/diffusion_pytorch_model.safetensors': unet,
    'unet/diffusion_pytorch_model.fp16.safetensors': 'half',
    'unet/diffusion_pytorch_model.bin': 'pickled',
    'tokenizer/vocab.json': '{"a":1}',
    'tokenizer/merges.txt': '#version',
    'tokenizer/spiece.model': 'pieces',
  },
}
const gated: HubModel = {
  ...kite,
  gated: true,
  card: { license: 'other', license_name: 'kite-1-non-commercial', license_link: 'LICENSE.md' },
}
const loaded = [
  'model_index.json',
  'tokenizer/merges.txt',
  'tokenizer/spiece.model',
  'tokenizer/vocab.json',
  'unet/config.json',
  'unet/diffusion_pytorch_model.safetensors',
]

let hub: TestHub
let store: MemoryStore

beforeEach(async () => {
  hub = await startHub({
    'wind/kite': kite,
    'wind/gated': gated,
    'wind/hidden': { ...kite, private: true },
    'wind/nameless': { ...kite, card: {} },
  })
  store = memoryStore({ partBytes: mebibyte })
})
afterEach(() => hub.close())

async function copy(text: string, token?: string, options: Partial<HubBaseOptions> = {}) {
  const name = parseRepositoryName(text)
  if (!name) throw new Error(`${text} is no repository`)
  const repository = await openRepository(name, {
    hubUrl: hub.url,
    token: token === undefined ? undefined : new Secret(token),
    retry: { attempts: 3, firstDelayMs: 1 },
  })
  return publishFromHub(store, repository, { name: 'kite', family: 'SDXL', ...options })
}

const stored = (path: string) => store.read({ bucket: 'bases', key: `kite/${path}` })

describe('a base from a hub', () => {
  it('has what diffusers loads and nothing else, with its commit and its licence', async () => {
    const base = await copy('wind/kite@v1.0')
    expect(base.files.map(({ path }) => path).sort()).toEqual(loaded)
    expect((await stored('unet/diffusion_pytorch_model.safetensors')).equals(unet)).toBe(true)
    expect(base).toMatchObject({
      licence: 'openrail++',
      source: `${new URL(hub.url).host}/wind/kite@${commit}`,
    })
    expect(await readBaseModel(store, 'kite')).toEqual(base)
    const keys = (await store.list('bases', '')).map(({ key }) => key.replace('kite/', ''))
    expect(keys).toEqual([...loaded, 'base.json'].sort())
  })

  it('is read from where it was opened, piece by piece', async () => {
    await copy('wind/kite')
    const pieces = hub.fetched.filter((each) => each.startsWith('unet/diffusion'))
    expect(pieces.map((each) => each.split(' ')[1])).toEqual([
      'bytes=0-1048575',
      'bytes=1048576-2097151',
      'bytes=2097152-2621439',
    ])
  })

  it('takes another variant where there is one, and puts it where loaders look', async () => {
    await copy('wind/kite@refs/pr/3', undefined, { variant: 'fp16' })
    expect((await stored('unet/diffusion_pytorch_model.safetensors')).toString()).toBe('half')
  })

  it('is not fetched again, and after a cut goes on where it was', async () => {
    hub.onDownload = (path, _, body) => (path.startsWith('tokenizer') ? 403 : body)
    await expect(copy('wind/kite')).rejects.toThrow("doesn't let wind/kite be read")
    expect(await store.info({ bucket: 'bases', key: 'kite/base.json' })).toBeUndefined()
    hub.onDownload = undefined
    hub.fetched.length = 0
    const first = await copy('wind/kite')
    expect(hub.fetched.filter((each) => each.startsWith('unet/diffusion'))).toEqual([])
    expect(hub.fetched.filter((each) => each.startsWith('tokenizer/spiece'))).toHaveLength(1)
    hub.fetched.length = 0
    expect(await copy('wind/kite')).toEqual(first)
    expect(hub.fetched.filter((each) => /safetensors|model$/.test(each))).toEqual([])
  })

  it('is asked for again where the network fails, and refused where the sum is another', async () => {
    const faults: ('cut' | number)[] = ['cut', 503]
    hub.onDownload = (_path, _, body) => faults.shift() ?? body
    await copy('wind/kite')
    expect((await stored('unet/diffusion_pytorch_model.safetensors')).equals(unet)).toBe(true)

    store = memoryStore({ partBytes: mebibyte })
    const other = (unet.readUInt8(7) + 1) % 256
    hub.onDownload = (path, _, body) => (path.startsWith('unet') ? Buffer.from(body).fill(other, 7, 8) : body)
    await expect(copy('wind/kite')).rejects.toThrow('came with another sum')
    const ref = { bucket: 'bases', key: 'kite/unet/diffusion_pytorch_model.safetensors' } as const
    expect(await store.info(ref)).toBeUndefined()
  })

  it('that is gated is copied with the token of an account that has access, and no other', async () => {
    const page = `https://${new URL(hub.url).host}/wind/gated`
    await expect(copy('wind/gated')).rejects.toThrow(
      `wind/gated is gated: accept its terms at ${page}, then set BELLOWS_HF_TOKEN`,
    )
    await expect(copy('wind/gated', tokens.stranger)).rejects.toThrow(
      `the account of BELLOWS_HF_TOKEN has no access: accept its terms at ${page} with that account`,
    )
    const base = await copy('wind/gated', tokens.allowed)
    expect(base.licence).toBe(`kite-1-non-commercial (${hub.url}/wind/gated/blob/${commit}/LICENSE.md)`)
  })

  it.each([
    ['wind/nothing', undefined, 'There is no model wind/nothing on 127.0.0.1'],
    ['wind/nothing', tokens.allowed, 'that the account of BELLOWS_HF_TOKEN may see'],
    ['wind/hidden', undefined, 'or it is private: then set BELLOWS_HF_TOKEN'],
    ['wind/kite@v9', undefined, 'wind/kite has no branch, tag or commit "v9"'],
    ['wind/kite', 'hf_canary_old', "doesn't know the token in BELLOWS_HF_TOKEN"],
    ['wind/kite', 'canary', "BELLOWS_HF_TOKEN is no token of the hub: those begin with 'hf_'"],
    ['wind/nameless', undefined, 'names no licence: say it with --licence'],
  ])('%s with token %s: a person learns what to do', async (text, token, sentence) => {
    const error = await copy(text, token).catch((refused: Error) => refused)
    expect(error).toBeInstanceOf(Error)
    expect((error as Error).message).toContain(sentence)
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain('canary')
  })

  it('whose hub is away is an error that names the hub', async () => {
    await hub.close()
    const away = openRepository({ name: 'wind/kite' }, { hubUrl: hub.url, retry: { attempts: 1 } })
    await expect(away).rejects.toThrow(/127\.0\.0\.1:\d+ failed at wind\/kite: fetch failed: .*ECONNREFUSED/)
    hub = await startHub({})
  })
})

it('a repository is named owner/name, perhaps with a revision', () => {
  expect(parseRepositoryName('black-forest-labs/FLUX.1-dev')).toEqual({
    name: 'black-forest-labs/FLUX.1-dev',
  })
  expect(parseRepositoryName('a/b@refs/pr/1')).toEqual({ name: 'a/b', revision: 'refs/pr/1' })
  for (const text of ['./folder', '../a/b', 'a', 'a/b/c', '/a/b', 'a/..', 'a/b@'])
    expect(parseRepositoryName(text)).toBeUndefined()
})
