import { describe, expect, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import type { PublishedFile } from '../../src/models/comfyui.ts'
import { listWithLinks, withLinks } from '../../src/models/links.ts'
import { memoryComfyUiFolder } from '../fakes/memory-comfyui-folder.ts'
import { memoryStore } from '../fakes/memory-store.ts'

const key = 'loras/1/secret/1/kite.safetensors'

async function publish(publicUrl: string | null) {
  const store = memoryStore({ publicUrl })
  await store.write({ bucket: 'models', key }, 'lora', 'application/octet-stream')
  const file = { modelId: 'm', filename: 'kite.safetensors', url: store.publicUrl(key), size: 4, sha256: '' }
  return { store, file }
}

describe('without a public domain', () => {
  test('documents carry the bucket and the key, and what sync is told can be fetched', async () => {
    const { store, file } = await publish(null)
    const folder = memoryComfyUiFolder()
    await folder.install(file)
    expect((await folder.list())[0]?.url).toBe(`s3://models/${key}`)
    const [listed] = await listWithLinks(folder, store)
    expect(await (await store.fetch(listed?.url ?? '')).text()).toBe('lora')
  })

  test('ComfyDeploy is told a link that it can fetch', async () => {
    const { store, file } = await publish(null)
    const told: PublishedFile[] = []
    const service = {
      install: async (each: PublishedFile) => {
        told.push(each)
        return 'id'
      },
    }
    expect(await withLinks(service, store).install(file)).toBe('id')
    expect(await (await store.fetch(told[0]?.url ?? '')).text()).toBe('lora')
    expect(told[0]).toMatchObject({ filename: 'kite.safetensors', size: 4 })
  })

  test('an address of another bucket is never signed', async () => {
    const { store, file } = await publish(null)
    const folder = memoryComfyUiFolder()
    await folder.install({ ...file, url: 's3://work/manifests/1.json' })
    expect((await listWithLinks(folder, store))[0]?.url).toBe('s3://work/manifests/1.json')
  })

  test('the settings are complete', () => {
    const problems = (() => {
      try {
        readConfig({})
        return ''
      } catch (error) {
        return String(error)
      }
    })()
    expect(problems).toContain('R2_ACCESS_KEY_ID')
    expect(problems).not.toContain('R2_MODELS_PUBLIC_URL')
  })
})

test('with a public domain the address is the link', async () => {
  const { store, file } = await publish('https://models.example')
  const folder = memoryComfyUiFolder()
  await folder.install(file)
  const [listed] = await listWithLinks(folder, store)
  expect(listed?.url).toBe(`https://models.example/${key}`)
})
