/** Each override at its limits: the last value that is granted, where it goes in the plan, and the first that is refused. */
import { expect, test } from 'vitest'
import { isOverrideFor, overrideNames } from '../../src/recipes/overrides.ts'
import { recipes } from '../../src/recipes/registry.ts'
import { planInput } from './samples.ts'

const input = { ...planInput, triggerWord: null, captions: [] }

const plan = (overrides: Record<string, unknown>) => recipes.SDXL.plan({ ...input, overrides })

function at(value: unknown, path: string): unknown {
  return path.split('.').reduce((inner, key) => (inner as Record<string, unknown>)[key], value)
}

test.each<[string, string, number, number, number, number]>([
  // override, place in the plan, refused below, least, most, refused above
  ['steps', 'steps', 9, 10, 10_000, 10_001],
  ['rank', 'adapter.rank', 0, 1, 128, 129],
  ['alpha', 'adapter.alpha', 0.009, 0.01, 1024, 1024.1],
  ['learningRate', 'optimizer.learningRate', 0.9e-7, 1e-7, 10, 10.01],
  ['weightDecay', 'optimizer.weightDecay', -0.1, 0, 1, 1.01],
  ['batchSize', 'batchSize', 0, 1, 16, 17],
  ['gradientAccumulation', 'gradientAccumulation', 0, 1, 64, 65],
  ['captionDropout', 'captionDropout', -0.01, 0, 1, 1.01],
  ['seed', 'seed', -1, 0, 2_147_483_647, 2_147_483_648],
  ['minSnrGamma', 'minSnrGamma', 0.09, 0.1, 100, 100.1],
  ['sampleEvery', 'samples.every', -1, 0, 10_000, 10_001],
  ['sampleSteps', 'samples.inferenceSteps', 0, 1, 100, 101],
  ['sampleSize', 'samples.size', 255, 256, 1536, 1537],
  ['guidance', 'samples.guidance', -0.1, 0, 30, 30.1],
  ['checkpointEvery', 'checkpointEvery', 0, 1, 10_000, 10_001],
  ['ema', 'ema', 0, 0.001, 0.999, 1],
])(
  '%s goes to %s, and is refused at %d and granted from %d to %d, not at %d',
  (override, path, ...limits) => {
    const [below, least, most, above] = limits
    for (const granted of [least, most]) expect(at(plan({ [override]: granted }), path)).toBe(granted)
    for (const refused of [below, above])
      expect(() => plan({ [override]: refused })).toThrow(`${override} is ${refused}, but must be `)
  },
)

test.each([
  ['method', 'adapter.method', ['lora', 'lokr'], 'dora'],
  ['targets', 'adapter.targets', ['attention', 'all-linear'], 'all'],
  ['optimizer', 'optimizer.name', ['adamw', 'adamw8bit', 'prodigy'], 'sgd'],
  ['schedule', 'schedule.name', ['constant', 'cosine'], 'linear'],
  ['precision', 'precision', ['bf16', 'fp32'], 'fp16'],
  ['quantization', 'quantization', ['none', 'int8', 'nf4'], 'fp8'],
])('%s is one of its words, and nothing else', (override, path, words, other) => {
  for (const word of words) expect(at(plan({ [override]: word }), path)).toBe(word)
  expect(() => plan({ [override]: other })).toThrow(
    `${override} is the text "${other}", but must be one of ${words.join(', ')}`,
  )
})

test.each(['flip', 'gradientCheckpointing'])('%s is true or false', (override) => {
  expect([at(plan({ [override]: true }), override), at(plan({ [override]: false }), override)]).toEqual([
    true,
    false,
  ])
  expect(() => plan({ [override]: 1 })).toThrow('but must be true or false')
})

test('resolutions are one to five, each within the family’s limits', () => {
  expect(plan({ resolutions: [256, 512, 768, 1024, 1536] }).resolutions).toHaveLength(5)
  for (const refused of [[], [255], [1537], [256, 512, 768, 1024, 1280, 1536], [512.5]])
    expect(() => plan({ resolutions: refused })).toThrow('a list of 1 to 5 whole numbers from 256 to 1536')
})

test('sample prompts are one to eight texts, trimmed, of one to a thousand characters', () => {
  const eight = Array.from({ length: 8 }, (_, index) => `prompt ${index}`)
  expect(plan({ samplePrompts: eight }).samples.prompts).toEqual(eight)
  expect(plan({ samplePrompts: [` ${'x'.repeat(1000)} `] }).samples.prompts).toEqual(['x'.repeat(1000)])
  for (const refused of [[], [...eight, 'ninth'], [' '], ['x'.repeat(1001)]])
    expect(() => plan({ samplePrompts: refused })).toThrow(
      'a list of 1 to 8 texts of at most 1000 characters',
    )
})

test('frames of a clip are one more than a multiple of four, up to 81', () => {
  const frames = (clipFrames: number) =>
    recipes.WAN.plan({ ...input, dataset: { ...input.dataset, clips: 1 }, overrides: { clipFrames } })
      .clipFrames
  expect([1, 5, 81].map(frames)).toEqual([1, 5, 81])
  for (const refused of [-3, 2, 4, 85]) expect(() => frames(refused)).toThrow('one more than a multiple of 4')
})

test('what is refused is told on one line, and short', () => {
  expect(() => plan({ steps: 'x'.repeat(200) })).toThrow(`steps is the text "${'x'.repeat(60)}", but`)
  expect(() => plan({ steps: { text: 'y'.repeat(200) } })).toThrow(`steps is {"text":"${'y'.repeat(51)}, but`)
})

test('a name is an override if it is one of ours, and its value could be granted to some job', () => {
  expect(overrideNames).toHaveLength(29)
  expect([isOverrideFor('rank', 256), isOverrideFor('rank', 257), isOverrideFor('constructor', 1)]).toEqual([
    true,
    false,
    false,
  ])
})
