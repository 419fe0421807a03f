/** Needs and estimates, worked out by hand: what a job may cost and which machine it gets follow from them. */
import { describe, expect, test } from 'vitest'
import { gpuTypes } from '../../src/cloud/gpu-types.ts'
import { type Family, families } from '../../src/family.ts'
import { recipes } from '../../src/recipes/registry.ts'
import { correct } from '../../src/recipes/speed.ts'
import { planInput } from './samples.ts'

const input = {
  ...planInput,
  triggerWord: null,
  dataset: { ...planInput.dataset, images: 10 },
  captions: ['a kite'],
}

const plan = (family: Family, overrides = {}, clips = 0) =>
  recipes[family].plan({ ...input, dataset: { ...input.dataset, clips }, overrides })

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
    const overrides = { ...sdxl, sampleEvery: 0, batchSize: 2, gradientAccumulation: 3 }
    expectSeconds('SDXL', plan('SDXL', overrides), 60 + 6 * 1800 + 33.6 + 5, 605)
    const drawn = { ...sdxl, sampleEvery: 0, samplePrompts: ['a', 'b', 'c'], sampleSize: 512 }
    expectSeconds('SDXL', plan('SDXL', drawn), 60 + 1800 + (3 * 33.6) / 4 + 5, 605)
  })

  // A quarter of the tokens, and attention 1 + 1024 ÷ 18,432 for 1 + 4096 ÷ 18,432: 0.21591 of 7.5 s, 1000 times, and
  // 5 × 20 × ⅓ times for drawings, as FLUX’s guidance takes no second pass. Around: 34 GB
  test('of FLUX at 512 is 1738.3 seconds, and 740 around it', () => {
    expectSeconds('FLUX', plan('FLUX', { steps: 1000, resolution: 512 }), 1738.3, 740)
  })

  // ¼ × (1 + 1024 ÷ 29,184) ÷ (1 + 4096 ÷ 29,184) is 0.22692, of 8 s, 1000 times and 5 × 25 × ⅔. Around: 126 GB
  test('of WAN at 512 is 2031.7 seconds, and 1200 around it', () => {
    expectSeconds('WAN', plan('WAN', { steps: 1000, resolution: 512 }), 2031.7, 1200)
  })

  // 6 images in 2 sizes of mean area 0.625, and 4 clips of 9 frames in the smaller, of 0.25, each once an epoch: 0.22692 and 1 are
  // 0.61346 in the middle, 9,216 tokens 2.59615, and (6 × 0.61346 + 4 × 2.59615) ÷ 10 is 1.40654 of 8 s
  test('with clips counts the frames that the encoder makes, in the smallest resolution', () => {
    const overrides = { steps: 1000, resolutions: [512, 1024], sampleEvery: 0 }
    expectSeconds('WAN', plan('WAN', overrides, 4), 60 + 11_252.3 + 133.33 + 24, 1200)
  })

  test('is less for a smaller base: half the parameters, half the work', () => {
    const made = plan('WAN', { steps: 1000, resolution: 512, sampleEvery: 0 })
    const { trainSeconds } = recipes.WAN.estimate(
      made,
      { gpu: 'any', timesL4: 1 },
      { bytes: 0, trained: [7.15e9] },
    )
    expect(Math.abs(trainSeconds - (60 + 907.7 + 15.13 + 5))).toBeLessThanOrEqual(1)
  })
})

// Worked out by hand from the sources in memory.ts: weights + adapter + activations + 2, rounded up
test.each<[Family, Record<string, unknown>, number, number]>([
  ['SDXL', {}, 9, 87], // 5.2 + 0.46 + 0.62
  ['SDXL', { batchSize: 16 }, 18, 87], // 5.2 + 0.46 + 9.9
  ['SDXL', { gradientCheckpointing: false }, 16, 87], // 5.2 + 0.46 + 8.0
  ['SDXL', { batchSize: 16, gradientCheckpointing: false }, 135, 87], // 5.2 + 0.46 + 127
  ['FLUX', { quantization: 'none' }, 29, 114], // 23.8 + 0.37 + 2.45
  ['FLUX', { quantization: 'none', precision: 'fp32' }, 55, 114], // 47.6 + 0.37 + 4.9
  ['FLUX', { quantization: 'none', gradientCheckpointing: false }, 68, 114], // 23.8 + 0.37 + 41.2
  ['FLUX', { quantization: 'int8' }, 18, 114], // 12.3 + 0.37 + 2.45
  ['FLUX', { quantization: 'int8', batchSize: 4 }, 25, 114], // 12.3 + 0.37 + 9.8
  ['FLUX', { quantization: 'int8', resolution: 512 }, 16, 114], // 12.3 + 0.37 + 0.82
  ['FLUX', { quantization: 'nf4' }, 12, 114], // its encoders: 9.8
  ['WAN', { quantization: 'none' }, 63, 206], // 57.2 + 2.1 + 1.64
  ['WAN', { quantization: 'int8' }, 36, 206], // 29.5 + 2.1 + 1.64
  ['WAN', { quantization: 'int8', rank: 128, optimizer: 'prodigy', method: 'lora' }, 54, 206], // 29.5 + 20.2 + 1.64
  ['WAN', { quantization: 'int8', rank: 128, optimizer: 'prodigy', method: 'lokr' }, 37, 206], // 29.5 + 2 + 1.7 + 1.64
  ['WAN', { quantization: 'nf4' }, 21, 206], // 15.2 + 2.1 + 1.64
])(
  '%s with %j needs %i GB of GPU memory and %i GB of disk, and one GPU',
  (family, overrides, gpuMemoryGb, diskGb) => {
    expect(recipes[family].requirements(plan(family, overrides))).toEqual({ gpuMemoryGb, diskGb, gpus: 1 })
  },
)

// 9 frames × (768 ÷ 16)² tokens × 5120 channels × (40 blocks × 2 bytes + 59) are 14.8 GB, beside 29.5 of weights and 2.1 of adapter
test('WAN’s clips at 768 need 49 GB, and two at once 64', () => {
  const memory = (overrides = {}) =>
    recipes.WAN.requirements(plan('WAN', { resolution: 768, ...overrides }, 4)).gpuMemoryGb
  expect([memory(), memory({ batchSize: 2 })]).toEqual([49, 64])
})

describe('a base in int8', () => {
  test('is not had without checkpointing, as the way back would keep each layer unpacked', () => {
    const overrides = { quantization: 'int8', gradientCheckpointing: false }
    expect(() => plan('FLUX', overrides)).toThrow('int8 saves no memory without gradientCheckpointing')
    expect(() => plan('FLUX', { ...overrides, quantization: 'nf4' })).not.toThrow()
  })

  test('is left whole by default, and checkpointing is off', () => {
    expect(plan('WAN', { gradientCheckpointing: false }).quantization).toBe('none')
    expect(plan('WAN').quantization).toBe('int8')
  })
})

/** TFLOPS in bf16, dense, by NVIDIA's data sheets. */
const peak: Record<string, number> = { L4: 121, A10G: 70, L40S: 362, H100: 989 }

/** TFLOP of a step at 1024 × 1024: forward, forward again from the checkpoints, back to what comes before; no weights' gradients. */
const work = { FLUX: (6 * 11.9e9 * 4608) / 1e12, WAN: (6 * 14.3e9 * 4096 * 1.14) / 1e12, SDXL: 18 }

test.each(gpuTypes)('no estimate on $type asks more than half of its peak', ({ gpu, timesL4 }) => {
  for (const family of families) {
    const seconds = (steps: number) =>
      recipes[family].estimate(plan(family, { steps, resolution: 1024, sampleEvery: 0 }), { gpu, timesL4 })
        .trainSeconds
    const perStep = (seconds(10_000) - seconds(1000)) / 9000
    expect(work[family] / perStep).toBeLessThan((peak[gpu] ?? 0) / 2)
  }
})

// 21 frames at 768² are 48,384 tokens: 11.8 times the 4,096 of 1024², and attention's share grows from 0.14 to 1.66
test('WAN’s time grows with the square of the tokens: 81 frames at 768 take 27.5 times an image at 1024', () => {
  const seconds = (overrides: object, clips: number) => {
    const all = (steps: number) =>
      recipes.WAN.estimate(
        recipes.WAN.plan({
          ...input,
          dataset: { ...input.dataset, images: 3, clips },
          overrides: { steps, sampleEvery: 0, ...overrides },
        }),
        { gpu: 'any', timesL4: 1 },
      ).trainSeconds
    return (all(2000) - all(1000)) / 1000
  }
  expect(seconds({ resolution: 1024 }, 0)).toBeCloseTo(8, 2)
  expect(seconds({ resolution: 768, clipFrames: 81 }, 3) / 8).toBeCloseTo(27.53, 1)
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
