import { describe, expect, test } from 'vitest'
import { contendersFor, paths, planFor } from '../../bench/contenders.ts'
import { settingsFor } from '../../bench/settings.ts'

const base = { name: 'tiny', sha256: 'a'.repeat(64) }

/** The value behind an option. */
const option = (program: readonly string[] | undefined, name: string) => program?.[program.indexOf(name) + 1]

describe.each(['SDXL', 'FLUX'] as const)('%s', (family) => {
  const settings = settingsFor(family, false, { steps: 40, batchSize: 3, resolution: 96, rank: 8 })
  const plan = planFor(settings, base, 12)
  const [ours, ...examples] = contendersFor(settings, 64)

  test('the plan and every script say the same', () => {
    for (const { program } of examples) {
      expect(option(program, '--max_train_steps')).toBe(String(plan.steps))
      expect(option(program, '--train_batch_size')).toBe(String(plan.batchSize))
      expect(option(program, '--resolution')).toBe(plan.resolutions.join())
      expect(option(program, '--rank')).toBe(String(plan.adapter.rank))
      expect(option(program, '--learning_rate')).toBe(String(plan.optimizer.learningRate))
      expect(option(program, '--adam_weight_decay')).toBe(String(plan.optimizer.weightDecay))
      expect(option(program, '--lr_scheduler')).toBe(plan.schedule.name)
      expect(option(program, '--mixed_precision')).toBe('no')
      expect(program).not.toContain('--gradient_checkpointing')
    }
    expect(plan).toMatchObject({
      precision: 'fp32',
      gradientCheckpointing: false,
      optimizer: { name: 'adamw' },
    })
  })

  test('ours does nothing that the scripts cannot, and neither samples nor saves on the way', () => {
    expect(plan).toMatchObject({
      ema: null,
      captionDropout: 0,
      quantization: 'none',
      gradientAccumulation: 1,
    })
    expect(plan.adapter.alpha).toBe(plan.adapter.rank)
    expect(plan.samples).toMatchObject({ every: 0, prompts: [] })
    expect(plan.checkpointEvery).toBe(plan.steps)
    for (const { program } of examples) {
      expect(Number(option(program, '--checkpointing_steps'))).toBeGreaterThan(plan.steps)
    }
  })

  test('only ours runs in the plain trainer image', () => {
    expect(ours).toMatchObject({ image: 'trainer', program: ['-m', 'bellows_trainer', family.toLowerCase()] })
    expect(examples.map(({ image, program }) => [image, program[0]])).toEqual(
      examples.map(() => ['examples', paths.script]),
    )
  })
})

test('SDXL is weighted by min-SNR on both sides', () => {
  const settings = settingsFor('SDXL', false, {})
  const [, script] = contendersFor(settings, 0)
  expect(option(script?.program, '--snr_gamma')).toBe(String(planFor(settings, base, 12).minSnrGamma))
})

test('FLUX is measured with and without its latents cached', () => {
  const [, plain, cached] = contendersFor(settingsFor('FLUX', false, {}), 64)
  expect(cached?.program).toEqual([...(plain?.program ?? []), '--cache_latents'])
  expect(option(plain?.program, '--max_sequence_length')).toBe('64')
})

test('on a GPU both are told bf16, gradient checkpointing and a true resolution', () => {
  const settings = settingsFor('FLUX', true, {})
  expect(planFor(settings, base, 12)).toMatchObject({
    precision: 'bf16',
    gradientCheckpointing: true,
    resolutions: [1024],
  })
  const [, script] = contendersFor(settings, 512)
  expect(script?.program).toEqual(expect.arrayContaining(['bf16', '--gradient_checkpointing', '1024']))
})

test('a run that ends with its warm-up is refused', () => {
  expect(() => settingsFor('SDXL', false, { steps: 11 })).toThrow('--steps must be 12 or more')
})
