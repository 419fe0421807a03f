import { describe, expect, it } from 'vitest'
import { buildManifest, manifestRef, parseManifest, parseResult } from '../../src/models/manifest.ts'
import { planSha256, planText } from '../../src/recipes/plan-text.ts'
import { recipes } from '../../src/recipes/registry.ts'
import { planInput } from '../recipes/samples.ts'

const plan = recipes.SDXL.plan({
  ...planInput,
  name: 'kite-234567',
  triggerWord: null,
  captions: [],
  overrides: { steps: 100 },
})
const result = { steps: 100, seconds: 12.5, finalLoss: 0.1, files: [{ name: 'kite-234567.safetensors' }] }
const shipped = {
  name: 'kite.safetensors',
  key: 'loras/1/kite.safetensors',
  size: 3,
  sha256: 'c'.repeat(64),
  url: 'https://m.example/k',
}
const shippedAt = new Date('2026-11-23T12:00:00Z')

describe('the manifest', () => {
  it('comes back from its text as it was, dates included', () => {
    const manifest = buildManifest({
      plan,
      image: 'trainer:1',
      result,
      models: [shipped],
      samples: [],
      shippedAt,
      fewestSteps: 100,
    })
    expect(parseManifest(JSON.stringify(manifest))).toEqual(manifest)
    expect(manifest.training).toEqual({ steps: 100, seconds: 12.5, finalLoss: 0.1, finishedAt: shippedAt })
    const key = 'manifests/0123456789abcdef01234567.json'
    expect(manifestRef(plan.trainingId)).toEqual({ bucket: 'work', key })
  })

  it.each([
    ['lora', ['ComfyUI', 'diffusers']],
    ['lokr', ['ComfyUI']],
  ])('of a %s says that it is loaded by %j', (method, loadedBy) => {
    const made = recipes.SDXL.plan({ ...planInput, name: 'kite-234567', captions: [], overrides: { method } })
    const rest = { image: 'trainer:1', result, models: [shipped], samples: [], shippedAt, fewestSteps: 1 }
    expect(buildManifest({ plan: made, ...rest }).loadedBy).toEqual(loadedBy)
  })

  it('is not made of a training that stopped early, unless it was asked to', () => {
    const input = {
      plan,
      image: 'trainer:1',
      result: { ...result, steps: 99 },
      models: [shipped],
      samples: [],
      shippedAt,
    }
    expect(() => buildManifest({ ...input, fewestSteps: 100 })).toThrow('only 99 of 100 steps were trained')
    expect(buildManifest({ ...input, fewestSteps: 1 }).training.steps).toBe(99)
  })
})

describe("a trainer's result", () => {
  it('may say more than is needed', () => {
    const text = JSON.stringify({ ...result, finishedAt: '2026-11-23T12:00:00.123+00:00', more: 1 })
    expect(parseResult(text, plan)).toEqual({ ...result, finishedAt: new Date('2026-11-23T12:00:00.123Z') })
  })

  it('names the files of both experts', () => {
    const files = ['high', 'low'].map((noise) => ({ name: `kite-234567-${noise}-noise.safetensors` }))
    expect(parseResult(JSON.stringify({ ...result, files }), plan).files).toEqual(files)
  })

  it.each([
    'nonsense',
    '[]',
    JSON.stringify({ ...result, steps: 0 }),
    JSON.stringify({ ...result, finalLoss: null }),
    JSON.stringify({ ...result, files: [] }),
    JSON.stringify({ ...result, files: [{ name: '../x.safetensors' }] }),
    JSON.stringify({ ...result, files: [{ name: 'x.py' }] }),
    JSON.stringify({ ...result, files: [{ name: 'other-234567.safetensors' }] }),
    JSON.stringify({ ...result, files: [{ name: 'kite-234567-2.safetensors' }] }),
    JSON.stringify({ ...result, files: [...result.files, ...result.files] }),
  ])('is refused when it is %s', (text) => {
    expect(() => parseResult(text, plan)).toThrow(expect.objectContaining({ reason: 'bad-artifact' }))
  })
})

describe("a plan's text", () => {
  it('is the same whichever order a database gave its fields', () => {
    const shuffled = Object.fromEntries(Object.entries(plan).reverse()) as typeof plan
    expect(planText(shuffled)).toBe(planText(plan))
    expect(planSha256(shuffled)).toBe(planSha256(plan))
    expect(planSha256({ ...plan, seed: plan.seed + 1 })).not.toBe(planSha256(plan))
  })
})
