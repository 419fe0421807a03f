import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sizeOf } from '../../src/bases/base-size.ts'
import { publishBaseModel, readBaseModel } from '../../src/bases/bases.ts'
import type { Family } from '../../src/family.ts'
import { recipes } from '../../src/recipes/registry.ts'
import { memoryStore } from '../fakes/memory-store.ts'
import { planInput } from '../recipes/samples.ts'
import { assemble, safetensors } from '../support/safetensors.ts'

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bellows-test-'))
})
afterAll(() => rm(folder, { recursive: true }))

const index = Buffer.from('{"_class_name":"WanPipeline"}')

async function published(name: string, files: Readonly<Record<string, Buffer>>) {
  const store = memoryStore()
  for (const [path, content] of Object.entries({ 'model_index.json': index, ...files })) {
    const file = join(folder, name, path)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, content)
  }
  await publishBaseModel(store, join(folder, name), { name, family: 'WAN', licence: 'CC0-1.0' })
  return readBaseModel(store, name)
}

const tensors = (...shapes: number[][]) =>
  safetensors(
    Object.fromEntries(shapes.map((shape, at) => [`layer.${at}`, { dtype: 'BF16', shape, values: 0 }])),
    { format: 'pt' },
  )

describe('the size of a base', () => {
  it('is the parameters of what is trained, over all shards, and the bytes of everything', async () => {
    const files = {
      'model_index.json': index,
      'text_encoder/model.safetensors': tensors([1000]),
      'transformer/diffusion_pytorch_model-00001-of-00002.safetensors': tensors([8, 4], [3]),
      'transformer/diffusion_pytorch_model-00002-of-00002.safetensors': tensors([5], []),
      'transformer_2/diffusion_pytorch_model.safetensors': tensors([7]),
    }
    const base = await published('two', files)
    expect(base.parameters).toEqual({ transformer: 41, transformer_2: 7 })
    expect(sizeOf(base)).toEqual({
      bytes: Object.values(files).reduce((sum, { length }) => sum + length, 0),
      trained: [41, 7],
    })
  })

  it.each([
    ['no safetensors', Buffer.from('weights of another kind')],
    ['an empty file', Buffer.alloc(0)],
    ['a header without shapes', assemble(Buffer.from('{"layer":[1]}'), Buffer.alloc(0))],
    ['a header of no length', assemble(Buffer.alloc(0), Buffer.alloc(8))],
  ])('is unknown where the weights are %s', async (what, content) => {
    const base = await published(what.replaceAll(' ', '-'), { 'unet/model.safetensors': content })
    expect(sizeOf(base)).toBeUndefined()
  })
})

describe('what a base needs of a machine', () => {
  const plan = (family: Family, quantization: string) =>
    recipes[family].plan({
      ...planInput,
      triggerWord: null,
      captions: [],
      overrides: { quantization },
    })
  const wan = {
    'WAN 2.1 1.3B': { bytes: 17.5e9, trained: [1.42e9] },
    'WAN 2.1 14B': { bytes: 80e9, trained: [14.3e9] },
    'WAN 2.2 A14B': { bytes: 126e9, trained: [14.3e9, 14.3e9] },
  } as const

  it.each<[keyof typeof wan, string, number]>([
    ['WAN 2.1 1.3B', 'none', 24],
    ['WAN 2.1 1.3B', 'int8', 24],
    ['WAN 2.1 14B', 'none', 48],
    ['WAN 2.1 14B', 'int8', 24],
    ['WAN 2.2 A14B', 'none', 80],
    ['WAN 2.2 A14B', 'int8', 48],
    ['WAN 2.2 A14B', 'nf4', 24],
  ])('%s in %s fits a GPU of %i GB, and none of the next smaller kind', (name, quantization, gb) => {
    const made = plan('WAN', quantization)
    const { gpuMemoryGb } = recipes.WAN.requirements(made, wan[name])
    expect([24, 48, 80].find((each) => each >= gpuMemoryGb)).toBe(gb)
    if (name === 'WAN 2.2 A14B')
      expect(recipes.WAN.requirements(made)).toEqual(recipes.WAN.requirements(made, wan[name]))
  })

  it('is less time and less disk where it is smaller', () => {
    const l4 = { gpu: 'L4', timesL4: 1 }
    const [small, large] = [wan['WAN 2.1 1.3B'], wan['WAN 2.1 14B']]
    const made = plan('WAN', 'int8')
    const seconds = (size: typeof small | typeof large) => recipes.WAN.estimate(made, l4, size).trainSeconds
    expect(seconds(small)).toBeLessThan(seconds(large) / 4)
    expect(recipes.WAN.requirements(made, small).diskGb).toBeLessThan(
      recipes.WAN.requirements(made, large).diskGb,
    )
    const twice = { bytes: 14e9, trained: [2.6e9] }
    const sdxl = plan('SDXL', 'none')
    const around = (size?: typeof twice) => {
      const { totalSeconds, trainSeconds } = recipes.SDXL.estimate(sdxl, l4, size)
      return totalSeconds - trainSeconds
    }
    expect(around(twice)).toBeGreaterThan(around())
  })
})
