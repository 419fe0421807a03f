/** What a trainer is told without overrides, written out: a slip in a default changes every model. */
import { describe, expect, test } from 'vitest'
import { planText } from '../../src/recipes/plan-text.ts'
import type { PlanInput } from '../../src/recipes/recipe.ts'
import { recipes } from '../../src/recipes/registry.ts'
import { stepsFor } from '../../src/recipes/steps.ts'
import { planInput as input } from './samples.ts'

const prompts = ['a redkite over a hill', 'redkite, a bird on a branch', 'redkite, two birds']

/** The same in every family. */
const common = {
  version: 1,
  trainingId: input.trainingId,
  name: input.name,
  triggerWord: input.triggerWord,
  baseModel: input.baseModel,
  dataset: { images: 20, clips: 0, sha256: 'b'.repeat(64) },
  seed: 140902056, // the first 32 bits of the id's sha256, 8865fea8, without the highest
  batchSize: 1,
  gradientAccumulation: 1,
  clipFrames: 1,
  captionDropout: 0.05,
  flip: false,
  precision: 'bf16',
  gradientCheckpointing: true,
  optimizer: { name: 'adamw8bit', learningRate: 0.0001, weightDecay: 0.01, maxGradientNorm: 1 },
  checkpointEvery: 250,
}

test('a job without overrides trains SDXL so', () => {
  expect(recipes.SDXL.plan(input)).toEqual({
    ...common,
    family: 'SDXL',
    steps: 1600,
    resolutions: [1024],
    adapter: { method: 'lora', rank: 32, alpha: 16, targets: 'attention' },
    schedule: { name: 'cosine', warmupSteps: 80 },
    quantization: 'none',
    minSnrGamma: 5,
    ema: null,
    samples: { every: 250, prompts, inferenceSteps: 28, size: 1024, guidance: 6 },
  })
})

test('a job without overrides trains FLUX so', () => {
  expect(recipes.FLUX.plan(input)).toEqual({
    ...common,
    family: 'FLUX',
    steps: 1200,
    resolutions: [512, 768, 1024],
    adapter: { method: 'lora', rank: 16, alpha: 16, targets: 'attention' },
    schedule: { name: 'constant', warmupSteps: 60 },
    quantization: 'int8',
    minSnrGamma: null,
    ema: 0.99,
    samples: { every: 250, prompts, inferenceSteps: 20, size: 1024, guidance: 3.5 },
  })
})

test('a job without overrides trains WAN so', () => {
  expect(recipes.WAN.plan(input)).toEqual({
    ...common,
    family: 'WAN',
    steps: 1200,
    resolutions: [512, 768],
    adapter: { method: 'lora', rank: 32, alpha: 32, targets: 'attention' },
    schedule: { name: 'constant', warmupSteps: 60 },
    quantization: 'int8',
    minSnrGamma: null,
    ema: null,
    samples: { every: 250, prompts, inferenceSteps: 25, size: 768, guidance: 5 },
  })
})

test('the limits of each family are these', () => {
  const common = {
    images: { min: 3, max: 500 },
    minSide: 256,
    maxSide: 2048,
    steps: { min: 10, max: 10_000 },
    rank: { min: 1, max: 128 },
  }
  expect(recipes.SDXL.limits).toEqual({ ...common, resolution: { min: 256, max: 1536 } })
  expect(recipes.FLUX.limits).toEqual({ ...common, resolution: { min: 256, max: 1536 } })
  expect(recipes.WAN.limits).toEqual({
    ...common,
    resolution: { min: 256, max: 1280 },
    clips: { maxSeconds: 30, maxPixels: 9_437_184 },
  })
  const { SDXL, FLUX, WAN } = recipes
  expect([SDXL, FLUX, WAN].map(({ family, image, keyPrefix }) => [family, image, keyPrefix])).toEqual([
    ['SDXL', 'sdxl', 'lora_unet_'],
    ['FLUX', 'flux', 'transformer.'],
    ['WAN', 'wan', 'diffusion_model.'],
  ])
})

test('steps grow with the images, in fifties, from the least to the most', () => {
  const steps = (family: keyof typeof recipes) =>
    [3, 12, 13, 21, 32, 500].map(
      (images) => recipes[family].plan({ ...input, dataset: { ...input.dataset, images } }).steps,
    )
  expect(steps('SDXL')).toEqual([800, 950, 1050, 1700, 2500, 2500])
  expect(steps('FLUX')).toEqual([1000, 1000, 1000, 1250, 1900, 2000])
  expect(steps('WAN')).toEqual([1000, 1000, 1000, 1250, 1900, 3000])
  expect(stepsFor({ perImage: 60, min: 100, max: 900 })(7)).toBe(400)
})

describe('what follows from an override', () => {
  const plan = (overrides: Record<string, unknown>, more: Partial<PlanInput> = {}) =>
    recipes.SDXL.plan({ ...input, overrides, ...more })

  test('warming up takes a twentieth of the steps, at most 100, and never more than there are', () => {
    const warmup = (overrides: Record<string, unknown>) => plan(overrides).schedule.warmupSteps
    expect([{ steps: 10 }, { steps: 39 }, { steps: 2000 }, { steps: 10_000 }].map(warmup)).toEqual([
      0, 1, 100, 100,
    ])
    expect(warmup({ steps: 50, warmupSteps: 900 })).toBe(50)
  })

  test('alpha follows the rank, samples the largest resolution, and Prodigy its authors', () => {
    expect(plan({ rank: 64 }).adapter).toMatchObject({ rank: 64, alpha: 32 })
    expect(plan({ resolutions: [768, 512] }).samples.size).toBe(768)
    expect(plan({ optimizer: 'prodigy' }).optimizer.learningRate).toBe(1)
    expect(plan({ optimizer: 'prodigy', learningRate: 0.5 }).optimizer.learningRate).toBe(0.5)
    expect(plan({ optimizer: 'adamw' }).optimizer.learningRate).toBe(0.0001)
  })

  test('min-SNR is SDXL’s alone', () => {
    expect(plan({ minSnrGamma: 7 }).minSnrGamma).toBe(7)
    for (const family of ['FLUX', 'WAN'] as const)
      expect(recipes[family].plan({ ...input, overrides: { minSnrGamma: 7 } }).minSnrGamma).toBeNull()
  })

  test('EMA that is only switched on is 0.99', () => {
    expect(plan({ ema: true }).ema).toBe(0.99)
    expect(plan({ ema: 0.5 }).ema).toBe(0.5)
  })

  test('an offering may have what no job may ask for', () => {
    const offering = { steps: 100_000, rank: 256, resolution: 32 }
    const made = plan({}, { offering })
    expect([made.steps, made.adapter.rank, made.resolutions]).toEqual([100_000, 256, [32]])
    expect(plan({}, { offering: { steps: 1, resolution: 2048 } })).toMatchObject({
      steps: 1,
      resolutions: [2048],
    })
    for (const beyond of [
      { steps: 100_001 },
      { steps: 0 },
      { rank: 257 },
      { resolution: 31 },
      { resolution: 2049 },
    ])
      expect(() => plan({}, { offering: beyond })).toThrow(/but must be a whole number/)
  })

  test('a list of resolutions goes before a single one', () => {
    expect(plan({ resolution: 512, resolutions: [768] }).resolutions).toEqual([768])
  })
})

describe('sample prompts', () => {
  const prompted = (captions: readonly string[], triggerWord: string | null = null) =>
    recipes.SDXL.plan({ ...input, captions, triggerWord }).samples.prompts

  test('are four captions from all over the dataset', () => {
    const captions = Array.from({ length: 10 }, (_, index) => `picture ${index}`)
    expect(prompted(captions)).toEqual(['picture 0', 'picture 2', 'picture 5', 'picture 7'])
  })

  test('are said once each, and at most a thousand characters long', () => {
    expect(prompted(['same', 'same', 'other'])).toEqual(['same', 'other'])
    expect(prompted(['x'.repeat(2000)])).toEqual(['x'.repeat(1000)])
  })

  test('are the trigger word where there is no caption, or else a photograph', () => {
    expect(prompted(['', ''], 'redkite')).toEqual(['redkite'])
    expect(prompted([])).toEqual(['a photograph'])
  })
})

test('the plan’s text is the same in whatever order a database gave its fields, and is indented by two', () => {
  const plan = recipes.SDXL.plan(input)
  const turned = Object.fromEntries(Object.entries(plan).reverse()) as typeof plan
  expect(planText(turned)).toBe(planText(plan))
  expect(planText(plan).split('\n').slice(0, 4)).toEqual([
    '{',
    '  "version": 1,',
    '  "trainingId": "0123456789abcdef01234567",',
    '  "family": "SDXL",',
  ])
})
