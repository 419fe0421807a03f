/** Needs and estimates, worked out by hand: what a job may cost and which machine it gets follow from them. */
import { describe, expect, test } from 'vitest'
import type { Family } from '../../src/recipes/plan.ts'
import { recipes } from '../../src/recipes/registry.ts'
import { correct } from '../../src/recipes/speed.ts'
import { planInput } from './samples.ts'

const input = {
  ...planInput,
  triggerWord: null,
  dataset: { ...planInput.dataset, images: 10 },
  captions: ['a kite'],
}

const plan = (family: Family, wishes = {}, clips = 0) =>
  recipes[family].plan({ ...input, dataset: { ...input.dataset, clips }, wishes })

/** Rounded up by the code: the sums below are exact but for the last bit. */
function expectSeconds(
  family: Family,
  made: ReturnType<typeof plan>,
  train: number,
  around: number,
  timesL4 = 1,
) {
  const { trainSeconds, totalSeconds } = recipes[family].estimate(made, { gpu: 'any', timesL4 })
  expect([Math.abs(trainSeconds - train) <= 1, Math.abs(totalSeconds - train - around) <= 1]).toEqual([
    true,
    true,
  ])
}

describe('an estimate', () => {
  const sdxl = { steps: 1000, resolution: 1024 }

  // 60 to load; 1000 × 1.8; 5 drawings × 28 × 1.8 × ⅔; 10 × 0.5 to encode. Around: 120 + 300 + 60 + 90, and 7 GB at 200 MB/s
  test('of SDXL on an L4 is 2033 seconds of training and 605 around it', () => {
    expectSeconds('SDXL', plan('SDXL', sdxl), 2033, 605)
  })

  test('on a GPU four times as fast is a quarter of what the GPU does', () => {
    expectSeconds('SDXL', plan('SDXL', sdxl), 60 + 1973 / 4, 605, 4)
  })

  test('has a drawing at the end where none come between, and drawings without guidance at half the work', () => {
    expectSeconds('SDXL', plan('SDXL', { ...sdxl, sampleEvery: 0 }), 60 + 1800 + 33.6 + 5, 605)
    expectSeconds('SDXL', plan('SDXL', { ...sdxl, sampleEvery: 0, guidance: 1 }), 60 + 1800 + 16.8 + 5, 605)
  })

  test('grows with batch and accumulation, with prompts, and with the area of drawings', () => {
    const wishes = { ...sdxl, sampleEvery: 0, batchSize: 2, gradientAccumulation: 3 }
    expectSeconds('SDXL', plan('SDXL', wishes), 60 + 6 * 1800 + 33.6 + 5, 605)
    const drawn = { ...sdxl, sampleEvery: 0, samplePrompts: ['a', 'b', 'c'], sampleSize: 512 }
    expectSeconds('SDXL', plan('SDXL', drawn), 60 + 1800 + (3 * 33.6) / 4 + 5, 605)
  })

  // 1000 × 7.5 ÷ 4; 5 × 20 × 7.5 ÷ 4 × ⅓, as FLUX’s guidance takes no second pass. Around: 34 GB
  test('of FLUX at 512 is 2002.5 seconds, and 740 around it', () => {
    expectSeconds('FLUX', plan('FLUX', { steps: 1000, resolution: 512 }), 2002.5, 740)
  })

  // 1000 × 8 ÷ 4; 5 × 25 × 8 ÷ 4 × ⅔. Around: 126 GB
  test('of WAN at 512 is 2231.7 seconds, and 1200 around it', () => {
    expectSeconds('WAN', plan('WAN', { steps: 1000, resolution: 512 }), 2231.67, 1200)
  })

  // 6 images in 2 sizes of mean area 0.625, and 4 clips of 9 frames in the smaller, of 0.25, each once an epoch: (3.75 + 9) ÷ 10 of 1024²
  test('with clips counts the frames that the encoder makes, in the smallest resolution', () => {
    const wishes = { steps: 1000, resolutions: [512, 1024], sampleEvery: 0 }
    expectSeconds('WAN', plan('WAN', wishes, 4), 60 + 10_200 + 133.33 + 24, 1200)
  })

  test('is less for a smaller base: half the parameters, half the work', () => {
    const made = plan('WAN', { steps: 1000, resolution: 512, sampleEvery: 0 })
    const { trainSeconds } = recipes.WAN.estimate(
      made,
      { gpu: 'any', timesL4: 1 },
      { bytes: 0, trained: [7.15e9] },
    )
    expect(Math.abs(trainSeconds - (60 + 1000 + 16.67 + 5))).toBeLessThanOrEqual(1)
  })
})

test.each<[Family, Record<string, unknown>, number, number]>([
  ['SDXL', {}, 16, 87],
  ['SDXL', { batchSize: 16, rank: 32 }, 16, 87],
  ['SDXL', { batchSize: 16, rank: 33 }, 24, 87],
  ['FLUX', { quantization: 'none' }, 32, 114],
  ['FLUX', { quantization: 'int8' }, 21, 114],
  ['FLUX', { quantization: 'nf4' }, 16, 114],
  ['WAN', { quantization: 'none' }, 66, 206],
  ['WAN', { quantization: 'int8' }, 38, 206],
  ['WAN', { quantization: 'nf4' }, 24, 206],
])(
  '%s with %j needs %i GB of GPU memory and %i GB of disk, and one GPU',
  (family, wishes, gpuMemoryGb, diskGb) => {
    expect(recipes[family].need(plan(family, wishes))).toEqual({ gpuMemoryGb, diskGb, gpus: 1 })
  },
)

// 9 frames × (768 ÷ 16)² tokens × 40 layers × 5120 × 2 bytes × 1.5 are 12.7 GB, beside 30 of weights and 2 of libraries
test('WAN’s clips at 768 need 45 GB, and two at once 58', () => {
  const memory = (wishes = {}) => recipes.WAN.need(plan('WAN', { resolution: 768, ...wishes }, 4)).gpuMemoryGb
  expect([memory(), memory({ batchSize: 2 })]).toEqual([45, 58])
})

describe('what finished runs took', () => {
  const estimate = { totalSeconds: 1500, trainSeconds: 1000 }
  const took = (train: number, around = 1) => ({
    estimated: estimate,
    actual: { totalSeconds: 500 * around + 1000 * train, trainSeconds: 1000 * train },
  })
  const times = (count: number, run: ReturnType<typeof took>) => Array.from({ length: count }, () => run)

  test('counts for the newest twenty runs, against two imagined ones that were right', () => {
    // 2 to the power of 20 ÷ 22 is 1.8779
    expect(correct(estimate, times(20, took(2)))).toEqual({ trainSeconds: 1878, totalSeconds: 2378 })
    expect(correct(estimate, [...times(20, took(2)), ...times(9, took(0.5))]).trainSeconds).toBe(1878)
  })

  test('counts at most fourfold, either way', () => {
    expect(correct(estimate, [took(1000)]).trainSeconds).toBe(1588) // the cube root of 4
    expect(correct(estimate, [took(0.001)]).trainSeconds).toBe(630) // the cube root of ¼
  })

  test('corrects the time around the training by itself', () => {
    expect(correct(estimate, [took(1, 2)])).toEqual({ trainSeconds: 1000, totalSeconds: 1630 })
  })
})
