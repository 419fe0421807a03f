/**
 * WAN 2.1 and 2.2 text-to-video, trained on images as single frames. Defaults: rank 32 and the learning
 * rate as in musubi-tuner's and ai-toolkit's examples (November 2026). WAN 2.2 has two experts: a batch
 * belongs to one, so it gets the same number of steps for both together.
 */
import { estimateSeconds } from './estimate.ts'
import { makePlan } from './make-plan.ts'
import type { Plan } from './plan.ts'
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

/** Two experts of 14 B weights each, both resident: 56 GB in bf16, 28 GB in int8, 16 GB in nf4. */
const memoryGb: Readonly<Record<Plan['quantization'], number>> = { none: 80, int8: 48, nf4: 24 }

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
  need: (plan) => ({ gpuMemoryGb: memoryGb[plan.quantization], gpus: 1, diskGb: 200 }),
  estimate: (plan, speed) => estimateSeconds(plan, speed, { sampleSeconds: 8, baseBytes: 70e9 }),
}
