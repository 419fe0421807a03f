/**
 * WAN 2.1 and 2.2 text-to-video, trained on images as single frames. Defaults: rank 32 and the learning
 * rate as in musubi-tuner's and ai-toolkit's examples (November 2026). WAN 2.2 has two experts: a batch
 * belongs to one, so it gets the same number of steps for both together.
 */
import { diskGb, relativeSize, weightsGb } from './base-size.ts'
import { estimateSeconds } from './estimate.ts'
import { makePlan } from './make-plan.ts'
import type { Recipe } from './recipe.ts'
import { stepsFor } from './steps.ts'

const limits = {
  images: { min: 3, max: 500 },
  minSide: 256,
  maxSide: 2048,
  steps: { min: 10, max: 10_000 },
  rank: { min: 1, max: 128 },
  resolution: { min: 256, max: 1280 },
} as const

/** WAN 2.2 A14B: two experts, both resident: 57 GB in bf16, 30 GB in int8, 16 GB in nf4. */
const usual = { bytes: 126e9, trained: [14.3e9, 14.3e9] }
/** Activations of images, and what the libraries take: with nf4 all of it fits 24 GB. */
const besidesGb = 8
/** The text encoder, alone in memory before, takes 12 GB. */
const leastGb = 16

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
      },
      input,
    ),
  need: (plan, base = usual) => ({
    gpuMemoryGb: Math.max(leastGb, weightsGb(base.trained, plan.quantization) + besidesGb),
    gpus: 1,
    diskGb: diskGb(base),
  }),
  estimate: (plan, speed, base = usual) =>
    estimateSeconds(plan, speed, { sampleSeconds: 8 * relativeSize(base, usual), baseBytes: base.bytes }),
}
