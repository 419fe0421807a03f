import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { baseKey, publishBaseModel, readBaseModel } from '../../src/bases/bases.ts'
import { memoryStore } from '../fakes/memory-store.ts'

const meta = { name: 'tiny-sdxl', family: 'SDXL', licence: 'CC0-1.0' } as const
const index = '{"_class_name":"StableDiffusionXLPipeline"}'
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bellows-test-'))
  await mkdir(join(folder, 'unet'))
  await writeFile(join(folder, 'unet', 'model.safetensors'), 'weights')
  await writeFile(join(folder, 'Z.json'), '{}')
  await writeFile(join(folder, 'model_index.json'), index)
  await writeFile(join(folder, '.hidden'), 'x')
  await symlink(join(folder, 'unet', 'model.safetensors'), join(folder, 'link.safetensors'))
})
afterAll(() => rm(folder, { recursive: true }))

describe('a base model', () => {
  it('is read as it was published, links followed, hidden files left out', async () => {
    const store = memoryStore()
    const base = await publishBaseModel(store, folder, meta)
    expect(base.files.map(({ path }) => path)).toEqual([
      'Z.json',
      'link.safetensors',
      'model_index.json',
      'unet/model.safetensors',
    ])
    expect(await readBaseModel(store, 'tiny-sdxl')).toEqual(base)
    const key = baseKey('tiny-sdxl', 'link.safetensors')
    expect((await store.read({ bucket: 'bases', key })).toString()).toBe('weights')
  })

  it('leaves out what a loader might run, and refuses a component that has no other weights', async () => {
    const other = await mkdtemp(join(tmpdir(), 'bellows-test-'))
    await mkdir(join(other, 'vae'))
    const names = [
      'vae/model.safetensors',
      'vae/model.bin',
      'vae/pipeline.py',
      'vae/config.json',
      'vae/spiece.model',
    ]
    for (const name of names) await writeFile(join(other, name), '{}')
    await writeFile(join(other, 'model_index.json'), index)
    const base = await publishBaseModel(memoryStore(), other, meta)
    expect(base.files.map(({ path }) => path)).toEqual([
      'model_index.json',
      'vae/config.json',
      'vae/model.safetensors',
      'vae/spiece.model',
    ])
    await rm(join(other, 'vae/model.safetensors'))
    await expect(publishBaseModel(memoryStore(), other, meta)).rejects.toThrow('weights must be .safetensors')
    await rm(other, { recursive: true })
  })

  it('has the sum that sha256sum finds', async () => {
    const { sha256 } = await publishBaseModel(memoryStore(), folder, meta)
    const command = 'sha256sum Z.json link.safetensors model_index.json unet/model.safetensors | sha256sum'
    expect(execFileSync('sh', ['-c', command], { cwd: folder }).toString().slice(0, 64)).toBe(sha256)
  })

  it('is not sent again where it is there already, and mended where a file is gone', async () => {
    const store = memoryStore()
    const sent: string[] = []
    const watched = {
      ...store,
      writeFile: (...call: Parameters<typeof store.writeFile>) => {
        sent.push(call[0].key)
        return store.writeFile(...call)
      },
    }
    await publishBaseModel(store, folder, meta)
    await publishBaseModel(watched, folder, meta)
    expect(sent).toEqual([])
    await store.remove({ bucket: 'bases', key: 'tiny-sdxl/Z.json' })
    await publishBaseModel(watched, folder, meta)
    expect(sent).toEqual(['tiny-sdxl/Z.json'])
  })

  it('that is missing or whose list was changed is told apart', async () => {
    const store = memoryStore()
    await expect(readBaseModel(store, 'nothing')).rejects.toMatchObject({ reason: 'misconfigured' })
    const base = await publishBaseModel(store, folder, meta)
    for (const change of [
      { files: base.files.slice(1) },
      { name: 'other' },
      { files: [{ ...base.files[0], path: '../x' }] },
      { family: 'SD15' },
    ]) {
      const ref = { bucket: 'bases', key: 'tiny-sdxl/base.json' } as const
      await store.write(ref, JSON.stringify({ ...base, ...change }), 'application/json')
      await expect(readBaseModel(store, 'tiny-sdxl')).rejects.toMatchObject({ reason: 'misconfigured' })
    }
  })
})
