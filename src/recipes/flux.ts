/**
 * FLUX.1-dev and its kin. Defaults: rank and alpha 16, 1e-4 with 8-bit AdamW, caption dropout, three
 * resolutions, EMA 0.99 and checkpoints every 250 steps as in ai-toolkit's example for 24 GB; 1,000–2,000 steps as Replicate's and Civitai's
 * trainers (November 2026).
 */
import { diskGb, relativeSize, weightsGb } from './base-size.ts'
import { estimateSeconds } from './estimate.ts'
import { makePlan } from './make-plan.ts'
import type { Recipe } from './recipe.ts'
import { stepsFor } from './steps.ts'
import { defaultEma } from './wishes.ts'

const limits = {
  images: { min: 3, max: 500 },
  minSide: 256,
  maxSide: 2048,
  steps: { min: 10, max: 10_000 },
  rank: { min: 1, max: 128 },
  resolution: { min: 256, max: 1536 },
} as const

/** FLUX.1-dev: 24 GB in bf16, 13 GB in int8, 7 GB in nf4. */
const usual = { bytes: 34e9, trained: [11.9e9] }
/** Activations and adapter need 5–8 GB. */
const besidesGb = 8
/** The text encoder, alone in memory before, takes 10 GB. */
const leastGb = 16

export const flux: Recipe = {
  family: 'FLUX',
  image: 'flux',
  limits,
  keyPrefix: 'transformer.',
  plan: (input) =>
    makePlan(
      'FLUX',
      limits,
      {
        steps: stepsFor({ perImage: 60, min: 1000, max: 2000 }),
        resolutions: [512, 768, 1024],
        rank: 16,
        alphaPerRank: 1,
        learningRate: 1e-4,
        captionDropout: 0.05,
        minSnrGamma: null,
        ema: defaultEma,
        quantization: 'int8',
        schedule: 'constant',
        sampleSteps: 20,
        guidance: 3.5,
      },
      input,
    ),
  need: (plan, base = usual) => ({
    gpuMemoryGb: Math.max(leastGb, weightsGb(base.trained, plan.quantization) + besidesGb),
    gpus: 1,
    diskGb: diskGb(base),
  }),
  estimate: (plan, speed, base = usual) =>
    estimateSeconds(plan, speed, {
      sampleSeconds: 7.5 * relativeSize(base, usual),
      baseBytes: base.bytes,
    }),
}
