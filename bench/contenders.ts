/**
 * The two commands, as equal as they can be made: same base, pictures, captions, adapter, optimizer, number format, batch
 * and loss weighting. Pure lists of arguments for `python3`, run in a container by `container.ts`.
 */
import { type Plan, planSchema } from '../src/recipes/plan.ts'
import { recipes } from '../src/recipes/registry.ts'
import { learningRate, minSnrGamma, type Settings, seed, weightDecay } from './settings.ts'

export type Contender = {
  readonly name: string
  /** Where it runs: the trainer's image, or that with what the example scripts import. */
  readonly image: 'trainer' | 'examples'
  /** What `measure.py` runs. */
  readonly program: readonly string[]
}

/** What the containers find: `/job` can be written to and is new in each; `/bench` is the same for all. */
export const paths = {
  base: '/job/base',
  out: '/job/out',
  report: '/job/report.json',
  measure: '/bench/measure.py',
  script: '/bench/script.py',
  /** Pictures beside `metadata.jsonl`, as the library `datasets` reads them. */
  captioned: '/bench/captioned',
} as const

/** The first is ours, and the others are compared with it. */
export function contendersFor(settings: Settings, textLength: number): readonly Contender[] {
  const ours: Contender = {
    name: 'bellows_trainer',
    image: 'trainer',
    program: ['-m', 'bellows_trainer', settings.family.toLowerCase()],
  }
  const example = (name: string, program: readonly string[]): Contender => ({
    name,
    image: 'examples',
    program: [paths.script, ...program],
  })
  if (settings.family === 'SDXL') {
    return [ours, example('train_text_to_image_lora_sdxl.py', sdxlArguments(settings))]
  }
  const flux = fluxArguments(settings, textLength)
  return [
    ours,
    example('train_dreambooth_lora_flux.py', flux),
    example('the same with --cache_latents', [...flux, '--cache_latents']),
  ]
}

/** Without what the scripts lack: EMA, dropped captions; without samples and checkpoints, which neither needs. */
export function planFor(
  settings: Settings,
  base: { readonly name: string; readonly sha256: string },
  images: number,
): Plan {
  const { family, steps, batchSize, resolution, rank, precision, gradientCheckpointing } = settings
  const plan = recipes[family].plan({
    trainingId: '0'.repeat(24),
    name: 'bench',
    triggerWord: null,
    baseModel: base,
    dataset: { images, clips: 0, sha256: '0'.repeat(64) },
    captions: [],
    overrides: {},
    offering: {
      ...{ steps, batchSize, resolution, rank, alpha: rank, precision, gradientCheckpointing },
      ...{ optimizer: 'adamw', learningRate, weightDecay, schedule: 'constant', warmupSteps: 0, seed },
      ...{ quantization: 'none', captionDropout: 0, ema: false, minSnrGamma },
      ...{ checkpointEvery: steps, sampleEvery: 0 },
    },
  })
  return planSchema.parse({ ...plan, samples: { ...plan.samples, prompts: [] } })
}

function sdxlArguments(settings: Settings): readonly string[] {
  return [
    ...commonArguments(settings),
    ...['--train_data_dir', paths.captioned, '--caption_column', 'text'],
    ...['--snr_gamma', String(minSnrGamma)],
  ]
}

const fluxTargets = [
  'to_q',
  'to_k',
  'to_v',
  'to_out.0',
  'add_q_proj',
  'add_k_proj',
  'add_v_proj',
  'to_add_out',
]

function fluxArguments(settings: Settings, textLength: number): readonly string[] {
  return [
    ...commonArguments(settings),
    ...['--dataset_name', paths.captioned, '--caption_column', 'text'],
    ...['--instance_prompt', 'required, and unused where there are captions'],
    ...['--lora_alpha', String(settings.rank)],
    ...['--lora_layers', fluxTargets.map((name) => `attn.${name}`).join(',')],
    ...['--max_sequence_length', String(textLength)],
    ...['--guidance_scale', '1', '--weighting_scheme', 'logit_normal'],
  ]
}

function commonArguments(settings: Settings): readonly string[] {
  return [
    ...['--pretrained_model_name_or_path', paths.base, '--output_dir', paths.out],
    ...['--resolution', String(settings.resolution), '--center_crop'],
    ...['--train_batch_size', String(settings.batchSize), '--rank', String(settings.rank)],
    ...['--max_train_steps', String(settings.steps), '--checkpointing_steps', String(settings.steps + 1)],
    ...['--learning_rate', String(learningRate), '--adam_weight_decay', String(weightDecay)],
    ...['--lr_scheduler', 'constant', '--lr_warmup_steps', '0', '--seed', String(seed)],
    ...['--mixed_precision', settings.precision === 'bf16' ? 'bf16' : 'no'],
    ...(settings.gradientCheckpointing ? ['--gradient_checkpointing'] : []),
    ...(settings.gpu ? ['--allow_tf32'] : []),
  ]
}
