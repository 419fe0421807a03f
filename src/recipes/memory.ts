/**
 * GB of GPU memory that a training takes: weights, adapter, activations, and what the libraries take. Calculated, not measured;
 * a training that runs out of memory all the same goes to the next larger GPU once (endings.ts).
 *
 * Activations after Korthikanti et al., "Reducing Activation Recomputation in Large Transformer Models" (arXiv 2205.05198): a
 * block keeps 34 bytes a token and channel in 16 bits where attention keeps no scores, half as much again here, as autocast keeps norms and
 * the adapter's inputs in 32 bits. With checkpointing a block keeps its input, and one block at a time all of it, and its gradients.
 */
import type { BaseSize } from '../bases/base-size.ts'
import type { Plan } from './plan.ts'

/** Blocks of one width that see the picture at one scale. */
export type Stage = {
  /** Pixels along the side of a token. */
  readonly pixels: number
  readonly width: number
  readonly blocks: number
}

export type Architecture = {
  readonly stages: readonly Stage[]
  /** Beside the picture's. */
  readonly textTokens: number
  /** Of one expert: parameters of a LoRA of rank 1, and of the layers that it goes into. */
  readonly adapted: Readonly<
    Record<Plan['adapter']['targets'], { readonly ofRank1: number; readonly layers: number }>
  >
  /** Parameters of the text encoders, which are alone in memory before. */
  readonly encoders: number
}

const librariesGb = 2
const keptBytes = 34 * 1.5
const gradientBytes = 8

export function memoryGb(plan: Plan, base: BaseSize, architecture: Architecture): number {
  const training =
    weightsGb(base.trained, plan) +
    (adapterBytes(plan, base, architecture) + activationBytes(plan, architecture)) / 1e9
  const encoding = (architecture.encoders * bytesOf(plan)) / 1e9
  return Math.ceil(Math.max(training, encoding) + librariesGb)
}

const bytesOf = ({ precision }: Plan) => (precision === 'fp32' ? 4 : 2)

/**
 * GB of GPU memory that so many frozen parameters take, with the parts that stay in bf16. Blocks of FLUX's true width
 * took 1.002 bytes a parameter in int8 and 0.516 in nf4 (November 2026).
 */
function weightsGb(trained: readonly number[], plan: Plan): number {
  const parameters = trained.reduce((sum, each) => sum + each, 0)
  return (parameters * { none: bytesOf(plan), int8: 1.03, nf4: 0.53 }[plan.quantization]) / 1e9
}

const stateBytes = { adamw: 8, adamw8bit: 2, prodigy: 16 } as const

/** Weights, gradients and averages in 32 bits, and the optimizer's state; of LoKr also the change of each layer that it builds. */
function adapterBytes(plan: Plan, { trained }: BaseSize, { adapted, stages }: Architecture): number {
  const { method, rank, targets } = plan.adapter
  const { ofRank1, layers } = adapted[targets]
  const each = 8 + stateBytes[plan.optimizer.name] + (plan.ema === null ? 0 : 4)
  // Its factors are a tenth of a LoRA's, or less.
  const parameters = ofRank1 * rank * trained.length * (method === 'lokr' ? 0.1 : 1)
  const blocks = stages.reduce((sum, stage) => sum + stage.blocks, 0)
  const built = method === 'lokr' ? 4 * layers * (plan.gradientCheckpointing ? 2 / blocks : 1) : 0
  return parameters * each + built
}

function activationBytes(plan: Plan, { stages, textTokens }: Architecture): number {
  const scale = (plan.batchSize * bytesOf(plan)) / 2
  const ofStages = stages.map(({ pixels, width, blocks }) => {
    const numbers = (mostPixels(plan) / pixels ** 2 + textTokens) * width
    return {
      kept: 2 * numbers * blocks,
      all: keptBytes * numbers * blocks,
      block: (keptBytes + gradientBytes) * numbers,
    }
  })
  const sum = (part: 'kept' | 'all') => ofStages.reduce((total, stage) => total + stage[part], 0)
  if (!plan.gradientCheckpointing) return scale * sum('all')
  return scale * (sum('kept') + Math.max(...ofStages.map(({ block }) => block)))
}

/** Of a sample: an image at the highest resolution, or all frames of a clip at the lowest. */
function mostPixels(plan: Plan): number {
  const still = Math.max(...plan.resolutions) ** 2
  return Math.max(still, Math.min(...plan.resolutions) ** 2 * latentFrames(plan))
}

/** Frames that the VAE makes of a clip: one of the first, one more of each four. */
export function latentFrames(plan: Plan): number {
  return (plan.clipFrames - 1) / 4 + 1
}
