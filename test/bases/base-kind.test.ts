import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { publishBaseModel } from '../../src/bases/bases.ts'
import type { Family } from '../../src/family.ts'
import { memoryStore } from '../fakes/memory-store.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bellows-test-'))
})
afterEach(() => rm(folder, { recursive: true }))

const pipelines = { SDXL: 'StableDiffusionXLPipeline', FLUX: 'FluxPipeline', WAN: 'WanPipeline' } as const

/** What is in the store when it was published, or the sentence that refused it; nothing may be left then. */
async function outcome(family: Family, files: Readonly<Record<string, unknown>>, path = folder) {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content))
  }
  const store = memoryStore()
  const meta = { name: 'kite', family, licence: 'CC0-1.0' }
  const refused = await publishBaseModel(store, path, meta).then(
    () => undefined,
    (error: Error) => error.message,
  )
  if (refused) expect(await store.list('bases', '')).toEqual([])
  return refused ?? 'published'
}

const scheduled = (family: Family, schedule: Readonly<Record<string, unknown>>) =>
  outcome(family, {
    'model_index.json': { _class_name: pipelines[family], scheduler: ['diffusers', schedule._class_name] },
    'scheduler/scheduler_config.json': schedule,
  })

/** As the configurations of bases that are in use have them. */
test.each<[string, Family, Record<string, unknown>, string | RegExp]>([
  [
    'SDXL 1.0',
    'SDXL',
    {
      _class_name: 'EulerDiscreteScheduler',
      prediction_type: 'epsilon',
      timestep_spacing: 'leading',
      timestep_type: 'discrete',
    },
    'published',
  ],
  ['one that leaves its prediction out', 'SDXL', { _class_name: 'DDIMScheduler' }, 'published'],
  [
    'velocity to zero SNR',
    'SDXL',
    {
      _class_name: 'EulerDiscreteScheduler',
      prediction_type: 'v_prediction',
      rescale_betas_zero_snr: true,
      timestep_spacing: 'trailing',
    },
    'published',
  ],
  [
    'EDM',
    'SDXL',
    { _class_name: 'EDMDPMSolverMultistepScheduler', prediction_type: 'epsilon' },
    /kind that SDXL is not trained with: EDMDPMSolverMultistepScheduler\.$/,
  ],
  [
    'EDM by another name',
    'SDXL',
    {
      _class_name: 'EulerDiscreteScheduler',
      prediction_type: 'v_prediction',
      timestep_type: 'continuous',
      sigma_max: 120,
    },
    /timestep_type continuous, as of EDM/,
  ],
  ['flow', 'SDXL', { _class_name: 'FlowMatchEulerDiscreteScheduler' }, /FlowMatchEulerDiscreteScheduler/],
  [
    'flow by another name',
    'SDXL',
    { _class_name: 'UniPCMultistepScheduler', use_flow_sigmas: true },
    /UniPCMultistepScheduler/,
  ],
  [
    'the image itself',
    'SDXL',
    { _class_name: 'DDPMScheduler', prediction_type: 'sample' },
    /prediction_type sample/,
  ],
  [
    'noise at zero SNR',
    'SDXL',
    { _class_name: 'DDIMScheduler', rescale_betas_zero_snr: true },
    /rescale_betas_zero_snr/,
  ],
  ['FLUX.1', 'FLUX', { _class_name: 'FlowMatchEulerDiscreteScheduler', shift: 3 }, 'published'],
  [
    'noise',
    'FLUX',
    { _class_name: 'EulerDiscreteScheduler' },
    /EulerDiscreteScheduler with prediction_type epsilon/,
  ],
  [
    'WAN 2.1',
    'WAN',
    {
      _class_name: 'UniPCMultistepScheduler',
      prediction_type: 'flow_prediction',
      use_flow_sigmas: true,
      flow_shift: 3,
    },
    'published',
  ],
  [
    'noise',
    'WAN',
    { _class_name: 'UniPCMultistepScheduler', prediction_type: 'epsilon' },
    /UniPCMultistepScheduler with prediction_type epsilon/,
  ],
])('a schedule of %s as %s', async (_, family, schedule, expected) => {
  expect(await scheduled(family, schedule)).toMatch(expected)
})

test('a base of another family is not published', async () => {
  const files = { 'model_index.json': { _class_name: 'StableDiffusionPipeline' } }
  expect(await outcome('SDXL', files)).toBe(
    'It is no base of SDXL: its pipeline is StableDiffusionPipeline, not StableDiffusionXLPipeline.',
  )
})

test('a checkpoint in a single file is refused with what to do, in a folder or by itself', async () => {
  const sentence = /^kite\.safetensors is a checkpoint in a single file.*from_single_file/
  expect(await outcome('SDXL', { 'kite.safetensors': 'weights' })).toMatch(sentence)
  expect(await outcome('SDXL', {}, join(folder, 'kite.safetensors'))).toMatch(sentence)
})

test.each([
  ['model_index.json', {}],
  ['scheduler/scheduler_config.json', { _class_name: 'DDIMScheduler', prediction_type: 1 }],
])('a %s that is not as diffusers writes it is refused by name', async (path, content) => {
  const whole = {
    'model_index.json': { _class_name: pipelines.SDXL, scheduler: ['diffusers', 'DDIMScheduler'] },
    'scheduler/scheduler_config.json': { _class_name: 'DDIMScheduler' },
  }
  expect(await outcome('SDXL', { ...whole, [path]: content })).toMatch(
    `${path} is not as diffusers writes it: ✖ Invalid input: expected string`,
  )
})

test('a folder of anything is not published', async () => {
  expect(await outcome('SDXL', { 'notes.txt': 'x' })).toMatch(/^There is no model_index\.json/)
})

test('weights that loaders look for under another name are refused', async () => {
  const files = {
    'model_index.json': { _class_name: pipelines.SDXL, unet: ['diffusers', 'UNet2DConditionModel'] },
    'unet/diffusion_pytorch_model.fp16.safetensors': 'half',
  }
  expect(await outcome('SDXL', files)).toMatch(
    /^unet has only diffusion_pytorch_model\.fp16\.safetensors: .*rename/,
  )
})
