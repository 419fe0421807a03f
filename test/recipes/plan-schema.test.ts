/** A plan that was read back is refused beyond its bounds: the last value that is taken, and the first that is not. */
import { expect, test } from 'vitest'
import { planSchema, slugSchema } from '../../src/recipes/plan.ts'
import { recipes } from '../../src/recipes/registry.ts'
import { planInput } from './samples.ts'

const plan = recipes.SDXL.plan({
  ...planInput,
  name: 'red-kite',
  captions: [],
})

function takes(path: string, value: unknown): boolean {
  const copy = structuredClone(plan) as Record<string, unknown>
  const keys = path.split('.')
  const last = keys.pop() ?? ''
  const place = keys.reduce((inner, key) => inner[key] as Record<string, unknown>, copy)
  place[last] = value
  return planSchema.safeParse(copy).success
}

const hex = (length: number) => 'a'.repeat(length)

test.each<[string, readonly unknown[], readonly unknown[]]>([
  ['version', [1], [0, 2]],
  ['trainingId', [hex(24)], [hex(23), hex(25), 'g'.repeat(24)]],
  ['family', ['SDXL', 'FLUX', 'WAN'], ['SD15']],
  ['name', ['a', 'x'.repeat(64)], ['', 'x'.repeat(65), 'A', '-a', 'a-', 'a/b']],
  ['triggerWord', [null, 'x', 'x'.repeat(64)], ['', 'x'.repeat(65)]],
  ['baseModel.name', ['b'], ['']],
  ['baseModel.sha256', [hex(64)], [hex(63), hex(65)]],
  ['dataset.sha256', [hex(64)], [hex(63), hex(65)]],
  ['dataset.images', [1], [0, 1.5]],
  ['dataset.clips', [0], [-1]],
  ['seed', [0, 2_147_483_647], [-1, 2_147_483_648, 0.5]],
  ['steps', [1], [0]],
  ['batchSize', [1], [0]],
  ['gradientAccumulation', [1], [0]],
  ['resolutions', [[32], [2048]], [[], [31], [2049]]],
  ['clipFrames', [1, 81], [0, 2, 85]],
  ['adapter.rank', [1, 256], [0, 257]],
  ['adapter.alpha', [0.01], [0]],
  ['optimizer.learningRate', [1e-9, 10], [0, 10.1]],
  ['optimizer.weightDecay', [0], [-0.1]],
  ['optimizer.maxGradientNorm', [0.1], [0]],
  ['schedule.warmupSteps', [0], [-1]],
  ['captionDropout', [0, 1], [-0.1, 1.1]],
  ['samples.size', [32, 2048], [31, 2049]],
  ['samples.guidance', [0], [-0.1]],
  ['samples.inferenceSteps', [1], [0]],
  ['checkpointEvery', [1], [0]],
  ['extra', [], [1]],
])('%s', (path, taken, refused) => {
  for (const value of taken) expect(takes(path, value), `${path} ${value}`).toBe(true)
  for (const value of refused) expect(takes(path, value), `${path} ${value}`).toBe(false)
})

test('a file’s stem has nothing that a shell, an URL or a file system would take for more', () => {
  for (const name of ['a b', 'ä', 'a.b', 'a_b', '..', 'a\n'])
    expect(slugSchema.safeParse(name).success).toBe(false)
})
