/**
 * From overrides to a plan, as all families do it: the job's overrides over the offering's over the recipe's
 * defaults. What is frozen here is all that a trainer is told.
 */
import { createHash } from 'node:crypto'
import { Failure } from '../failure.ts'
import type { Family } from '../family.ts'
import { cut } from '../text.ts'
import { type OverrideLimits, operatorLimits, readOverrides } from './overrides.ts'
import { type Plan, planSchema } from './plan.ts'
import type { PlanInput } from './recipe.ts'
import { withTrigger } from './trigger-word.ts'

export type Defaults = {
  readonly steps: (images: number) => number
  readonly resolutions: readonly number[]
  readonly rank: number
  /** In parts of the rank. */
  readonly alphaPerRank: number
  readonly learningRate: number
  readonly captionDropout: number
  readonly minSnrGamma: number | null
  readonly ema: number | null
  readonly quantization: Plan['quantization']
  readonly schedule: Plan['schedule']['name']
  readonly sampleSteps: number
  /** Sides that the family's pipeline takes: multiples of this. */
  readonly sampleMultiple: number
  readonly guidance: number
  /** For families that are trained on clips too. */
  readonly clipFrames?: number
}

/** Prodigy finds the step size itself; its authors want 1 (https://github.com/konstmish/prodigy). */
const prodigyLearningRate = 1

const longestPrompt = 1000

export function makePlan(family: Family, limits: OverrideLimits, defaults: Defaults, input: PlanInput): Plan {
  const overrides = {
    ...readOverrides(input.offering, operatorLimits),
    ...readOverrides(input.overrides, limits),
  }
  const rank = overrides.rank ?? defaults.rank
  const optimizer = overrides.optimizer ?? 'adamw8bit'
  const steps = overrides.steps ?? defaults.steps(input.dataset.images)
  const clips = input.dataset.clips ?? 0
  const checkpointing = overrides.gradientCheckpointing ?? true
  const resolutions = [...new Set(overrides.resolutions ?? defaults.resolutions)].sort((a, b) => a - b)

  const plan: Plan = {
    version: 1,
    trainingId: input.trainingId,
    family,
    name: input.name,
    triggerWord: input.triggerWord,
    baseModel: input.baseModel,
    dataset: { ...input.dataset, clips },
    seed: overrides.seed ?? seedOf(input.trainingId),
    steps,
    batchSize: overrides.batchSize ?? 1,
    gradientAccumulation: overrides.gradientAccumulation ?? 1,
    resolutions,
    clipFrames: clips > 0 ? (overrides.clipFrames ?? defaults.clipFrames ?? 1) : 1,
    adapter: {
      method: overrides.method ?? 'lora',
      rank,
      alpha: overrides.alpha ?? rank * defaults.alphaPerRank,
      targets: overrides.targets ?? 'attention',
    },
    optimizer: {
      name: optimizer,
      learningRate:
        overrides.learningRate ?? (optimizer === 'prodigy' ? prodigyLearningRate : defaults.learningRate),
      weightDecay: overrides.weightDecay ?? 0.01,
      maxGradientNorm: 1,
    },
    schedule: {
      name: overrides.schedule ?? defaults.schedule,
      warmupSteps: Math.min(overrides.warmupSteps ?? Math.min(100, Math.floor(steps / 20)), steps),
    },
    captionDropout: overrides.captionDropout ?? defaults.captionDropout,
    flip: overrides.flip ?? false,
    precision: overrides.precision ?? 'bf16',
    quantization: overrides.quantization ?? (checkpointing ? defaults.quantization : 'none'),
    gradientCheckpointing: checkpointing,
    minSnrGamma: family === 'SDXL' ? (overrides.minSnrGamma ?? defaults.minSnrGamma) : null,
    ema: overrides.ema === undefined ? defaults.ema : overrides.ema,
    samples: {
      every: overrides.sampleEvery ?? 250,
      prompts: overrides.samplePrompts ?? promptsFrom(input.captions, input.triggerWord),
      inferenceSteps: overrides.sampleSteps ?? defaults.sampleSteps,
      size: roundedDown(overrides.sampleSize ?? Math.max(...resolutions), defaults.sampleMultiple),
      guidance: overrides.guidance ?? defaults.guidance,
    },
    checkpointEvery: overrides.checkpointEvery ?? 250,
  }
  refuseLokrOnNf4(plan)
  refuseInt8Unpacked(plan)
  return freeze(planSchema.parse(plan))
}

function roundedDown(side: number, multiple: number): number {
  return Math.floor(side / multiple) * multiple
}

/** peft's LoKr takes the shape of a layer from its weight, and nf4 packs a weight into one column. */
function refuseLokrOnNf4({ adapter, quantization }: Plan): void {
  if (adapter.method !== 'lokr' || quantization !== 'nf4') return
  throw new Failure('bad-request', "LoKr can't be trained on a base in nf4; choose int8 or none, or LoRA")
}

/** The way back keeps each layer's unpacked weight, unless a checkpointed block unpacks it anew. nf4 unpacks again by itself. */
function refuseInt8Unpacked({ quantization, gradientCheckpointing }: Plan): void {
  if (quantization !== 'int8' || gradientCheckpointing) return
  throw new Failure(
    'bad-request',
    'a base in int8 saves no memory without gradientCheckpointing; leave one of the two out',
  )
}

/** The same training gets the same seed, whichever worker plans it. */
export function seedOf(trainingId: string): number {
  return createHash('sha256').update(trainingId).digest().readUInt32BE() & 0x7fffffff
}

/** Four captions from all over the dataset, with the trigger word where they lack it. */
export function promptsFrom(captions: readonly string[], triggerWord: string | null): string[] {
  const written = captions.filter((caption) => caption !== '')
  const count = Math.min(4, written.length)
  const chosen = Array.from(
    { length: count },
    (_, index) => written[Math.floor((index * written.length) / count)] ?? '',
  )
  const prompts = chosen.map((caption) => withTrigger(caption, triggerWord)).filter(Boolean)
  const unique = [...new Set(prompts.map((prompt) => cut(prompt, longestPrompt)))]
  return unique.length > 0 ? unique : [triggerWord ?? 'a photograph']
}

function freeze<T extends object>(value: T): T {
  for (const each of Object.values(value)) if (typeof each === 'object' && each !== null) freeze(each)
  return Object.freeze(value)
}
