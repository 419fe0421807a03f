import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { families } from '../../src/family.ts'
import { type Plan, planSchema } from '../../src/recipes/plan.ts'
import type { GpuSpeed } from '../../src/recipes/recipe.ts'
import { recipes } from '../../src/recipes/registry.ts'
import { correct } from '../../src/recipes/speed.ts'
import { planInput as input } from './samples.ts'

const l4: GpuSpeed = { gpu: 'L4', timesL4: 1 }

describe.each(families)('the %s recipe', (family) => {
  const recipe = recipes[family]
  const plan = (overrides: Record<string, unknown> = {}, offering = {}) =>
    recipe.plan({ ...input, overrides, offering })

  it('makes a frozen plan of nothing but a dataset', () => {
    const made = plan()
    expect(planSchema.parse(made)).toEqual(made)
    expect(made.family).toBe(family)
    expect(
      Object.isFrozen(made) && Object.isFrozen(made.adapter) && Object.isFrozen(made.samples.prompts),
    ).toBe(true)
    expect(made.samples.prompts).toEqual([
      'a redkite over a hill',
      'redkite, a bird on a branch',
      'redkite, two birds',
    ])
    expect(plan()).toEqual(made)
  })

  // What diffusers' pipelines check or round: 8 × 1 for SDXL, 8 × 2 for the transformers.
  const multiple = { SDXL: 8, FLUX: 16, WAN: 16 }[family]

  it.each([
    ['sampleSize', 1007],
    ['resolution', 1007],
    ['resolutions', [700, 1007]],
  ])('settles a side of samples that its pipeline takes: %s %j', (override, side) => {
    expect(plan({ [override]: side }).samples.size).toBe(1007 - (1007 % multiple))
  })

  it('puts the job over the offering, and the offering over its own defaults', () => {
    const offering = { steps: 40, resolution: 64, rank: 4, precision: 'fp32', optimizer: 'adamw' }
    const made = plan(
      { rank: 8, seed: 7, samplePrompts: ['x'], environment: 'production', progress: 'odd' },
      offering,
    )
    expect(made).toMatchObject({
      steps: 40,
      resolutions: [64],
      seed: 7,
      precision: 'fp32',
      adapter: { rank: 8 },
      optimizer: { name: 'adamw' },
      samples: { prompts: ['x'], size: 64 },
    })
    expect(plan({ resolutions: [1024, 512, 512], ema: true }).resolutions).toEqual([512, 1024])
    expect(plan({ optimizer: 'prodigy' }).optimizer.learningRate).toBe(1)
    expect(plan({ ema: false }).ema).toBeNull()
    expect(plan({ rank: null }).adapter.rank).toBe(plan().adapter.rank)
  })

  it.each<[string, unknown, string]>([
    ['steps', 5, 'steps is 5, but must be a whole number from 10 to 10000'],
    ['steps', 10.5, 'steps is 10.5, but must be a whole number'],
    ['steps', Number.NaN, 'steps is null, but must be'],
    ['rank', '16', 'rank is the text "16", but must be a whole number from 1 to 128'],
    ['resolution', 64, 'resolution is 64, but must be a whole number from 256 to'],
    ['resolutions', [], 'resolutions is [], but must be a list of 1 to 5'],
    ['method', 'lo\nha', 'method is the text "lo ha", but must be one of lora, lokr'],
    ['learningRate', 11, 'learningRate is 11, but must be a number from 1e-7 to 10'],
    ['seed', -1, 'seed is -1'],
    ['flip', 'yes', 'flip is the text "yes", but must be true or false'],
    ['samplePrompts', ['x'.repeat(1001)], 'samplePrompts is ["xxx'],
    ['samplePrompts', { $gt: '' }, 'samplePrompts is {"$gt":""}'],
    ['ema', 1, 'ema is 1, but must be true, false, or a number between 0 and 1'],
  ])('refuses %s %j with field, value and range', (field, value, sentence) => {
    const refused = expect(() => plan({ [field]: value }))
    refused.toThrow(Failure)
    refused.toThrow(sentence)
  })

  it('refuses LoKr on a base in nf4, which no trainer can do', () => {
    expect(() => plan({ method: 'lokr', quantization: 'nf4' })).toThrow(
      "LoKr can't be trained on a base in nf4",
    )
    expect(plan({ method: 'lokr', quantization: 'int8' }).adapter.method).toBe('lokr')
  })

  it('needs a machine that exists, and less of one when the base is quantised', () => {
    const memory = (quantization: string) => recipe.requirements(plan({ quantization })).gpuMemoryGb
    expect(memory('nf4')).toBeLessThanOrEqual(24)
    expect(memory('int8')).toBeGreaterThanOrEqual(memory('nf4'))
    expect(memory('none')).toBeLessThanOrEqual(80)
  })

  it('estimates more time for more steps, larger images and slower GPUs', () => {
    const seconds = (overrides = {}, speed = l4) => recipe.estimate(plan(overrides), speed).trainSeconds
    expect(seconds({ steps: 2000 })).toBeGreaterThan(seconds({ steps: 1000 }) * 1.5)
    expect(seconds({ resolution: 1024 })).toBeGreaterThan(seconds({ resolution: 512 }) * 2)
    expect(seconds({}, { gpu: 'H100', timesL4: 8 })).toBeLessThan(seconds() / 4)
    const { totalSeconds, trainSeconds } = recipe.estimate(plan(), l4)
    expect(totalSeconds - trainSeconds).toBeGreaterThan(300)
    expect(totalSeconds).toBeLessThan(6 * 3600)
  })

  it('either makes a valid plan of a document or refuses it in words, whatever it says', () => {
    const names = fc.constantFrom(
      'steps',
      'rank',
      'alpha',
      'resolution',
      'resolutions',
      'seed',
      'ema',
      'samplePrompts',
      'optimizer',
      'warmupSteps',
      '__proto__',
    )
    fc.assert(
      fc.property(
        fc.dictionary(names, fc.oneof(fc.jsonValue(), fc.integer(), fc.double())),
        fc.array(fc.string({ unit: 'binary' })),
        (overrides, captions) => {
          try {
            planSchema.parse(recipe.plan({ ...input, captions, overrides }))
          } catch (error) {
            expect(error).toMatchObject({ reason: 'bad-request' })
          }
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('a plan for clips', () => {
  const clips = (count: number, overrides = {}) =>
    recipes.WAN.plan({ ...input, dataset: { ...input.dataset, clips: count }, overrides })

  it('trains 33 frames of each unless another number is asked for, and one where there are only images', () => {
    expect([clips(4).clipFrames, clips(4, { clipFrames: 81 }).clipFrames, clips(0).clipFrames]).toEqual([
      33, 81, 1,
    ])
    expect(() => clips(4, { clipFrames: 32 })).toThrow(
      'clipFrames is 32, but must be a whole number from 1 to 81, one more than a multiple of 4',
    )
  })

  it('takes longer with each clip and each frame, and more memory for many at high resolution', () => {
    const seconds = (plan: Plan) => recipes.WAN.estimate(plan, l4).trainSeconds
    expect(seconds(clips(10))).toBeGreaterThan(seconds(clips(5)))
    expect(seconds(clips(5))).toBeGreaterThan(seconds(clips(0)))
    expect(seconds(clips(5, { clipFrames: 81 }))).toBeGreaterThan(seconds(clips(5)))
    const memory = (count: number, overrides = {}) =>
      recipes.WAN.requirements(clips(count, overrides)).gpuMemoryGb
    expect(memory(5)).toBeGreaterThan(memory(0))
    expect(memory(5, { resolution: 768 })).toBeGreaterThan(memory(0, { resolution: 768 }))
  })
})

describe('corrections of an estimate', () => {
  const estimate = { totalSeconds: 1500, trainSeconds: 1000 }
  const took = (times: number) => ({
    estimated: estimate,
    actual: { totalSeconds: 500 + 1000 * times, trainSeconds: 1000 * times },
  })

  it('change nothing where nothing was seen or all was right', () => {
    expect(correct(estimate, [])).toEqual(estimate)
    expect(correct(estimate, [took(1), took(1)])).toEqual(estimate)
  })

  it('come close to what runs took, and only slowly', () => {
    const once = correct(estimate, [took(2)])
    const often = correct(
      estimate,
      Array.from({ length: 20 }, () => took(2)),
    )
    expect(once.trainSeconds).toBeGreaterThan(1200)
    expect(once.trainSeconds).toBeLessThan(1300)
    expect(often.trainSeconds).toBeGreaterThan(1850)
    expect(often.totalSeconds - often.trainSeconds).toBe(500)
  })

  it('are not led astray by a run that went wrong', () => {
    const seen = [
      took(1000),
      { estimated: { totalSeconds: 0, trainSeconds: 0 }, actual: estimate },
      took(1),
      took(1),
    ]
    expect(correct(estimate, seen).trainSeconds).toBeLessThan(1400)
  })
})
