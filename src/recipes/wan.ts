/**
 * WAN 2.1 and 2.2 text-to-video, trained on images as single frames, and on the beginning of short clips: 33
 * frames at WAN's 16 a second, in the smallest resolution, as movement needs frames more than pixels. Defaults:
 * rank and alpha 32, 1e-4 with 8-bit AdamW as in ai-toolkit's examples for WAN 2.1 and 2.2 (November 2026). WAN 2.2 has two
 * experts: a batch belongs to one, so it gets the same number of steps for both together.
 */
import { type BaseSize, diskGb, relativeSize, weightsGb } from './base-size.ts'
import { estimateSeconds, latentFrames } from './estimate.ts'
import { makePlan } from './make-plan.ts'
import type { Plan } from './plan.ts'
import type { Recipe } from './recipe.ts'
import { stepsFor } from './steps.ts'

const limits = {
  images: { min: 3, max: 500 },
  minSide: 256,
  maxSide: 2048,
  clips: { maxSeconds: 30, maxPixels: 4096 * 2304 },
  steps: { min: 10, max: 10_000 },
  rank: { min: 1, max: 128 },
  resolution: { min: 256, max: 1280 },
} as const

/** WAN 2.2 A14B: two experts, both resident: 57 GB in bf16, 30 GB in int8, 16 GB in nf4. */
const usual: BaseSize = { bytes: 126e9, trained: [14.3e9, 14.3e9] }
/** The text encoder, alone in memory before, takes 12 GB. */
const leastGb = 16
/** Activations of images, and what the libraries take: with nf4 all of it fits 24 GB. */
const imagesGb = 6
const librariesGb = 2
/**
 * A token's activations: a checkpoint of 5,120 numbers in bf16 for each of 40 layers, and half as much again
 * for the layer at work. Calculated, not measured.
 */
const tokenGb = 40 * 5120 * 2 * 1.5e-9

export const wan: Recipe = {
  family: 'WAN',
  image: 'wan',
  limits,
  keyPrefix: 'diffusion_model.',
  plan: (input) =>
    makePlan(
      'WAN',
      limits,
      {
        steps: stepsFor({ perImage: 60, min: 1000, max: 3000 }),
        resolutions: [512, 768],
        rank: 32,
        alphaPerRank: 1,
        learningRate: 1e-4,
        captionDropout: 0.05,
        minSnrGamma: null,
        ema: null,
        quantization: 'int8',
        schedule: 'constant',
        sampleSteps: 25,
        guidance: 5,
        clipFrames: 33,
      },
      input,
    ),
  need: (plan, base = usual) => ({ gpuMemoryGb: memoryGb(plan, base), gpus: 1, diskGb: diskGb(base) }),
  estimate: (plan, speed, base = usual) =>
    estimateSeconds(plan, speed, { sampleSeconds: 8 * relativeSize(base, usual), baseBytes: base.bytes }),
}

function memoryGb(plan: Plan, { trained }: BaseSize): number {
  const squares = (Math.min(...plan.resolutions) / 16) ** 2
  const clipGb = plan.clipFrames > 1 ? plan.batchSize * latentFrames(plan) * squares * tokenGb : 0
  const besidesGb = librariesGb + Math.ceil(Math.max(imagesGb, clipGb))
  return Math.max(leastGb, weightsGb(trained, plan.quantization) + besidesGb)
}
