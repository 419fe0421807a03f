/**
 * FLUX.1-dev and its kin. Defaults: rank and alpha 16, 1e-4 with 8-bit AdamW, caption dropout, three
 * resolutions, EMA 0.99 and checkpoints every 250 steps as in ai-toolkit's example for 24 GB; 1,000–2,000 steps as Replicate's and Civitai's
 * trainers (November 2026).
 */
import { diskGb, relativeSize } from '../bases/base-size.ts'
import { estimateSeconds } from './estimate.ts'
import { makePlan } from './make-plan.ts'
import { type Architecture, memoryGb } from './memory.ts'
import { defaultEma } from './overrides.ts'
import type { Recipe } from './recipe.ts'
import { stepsFor } from './steps.ts'

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
/** 19 blocks with eight projections of 3,072 × 3,072 in their attentions, 38 with three; T5 XXL and CLIP. */
const architecture: Architecture = {
  stages: [{ pixels: 16, width: 3072, blocks: 57 }],
  textTokens: 512,
  adapted: {
    attention: { ofRank1: 1.63e6, layers: 2.5e9 },
    'all-linear': { ofRank1: 4.08e6, layers: 8.6e9 },
  },
  encoders: 4.9e9,
}
/** A block multiplies a token by 12 × width² weights, and 2 × width with each other token. */
const tokensOfEqualAttention = 6 * 3072

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
        sampleMultiple: 16,
        guidance: 3.5,
      },
      input,
    ),
  requirements: (plan, base = usual) => ({
    gpuMemoryGb: memoryGb(plan, base, architecture),
    gpus: 1,
    diskGb: diskGb(base),
  }),
  estimate: (plan, speed, base = usual) =>
    estimateSeconds(plan, speed, {
      sampleSeconds: 7.5 * relativeSize(base, usual),
      tokensOfEqualAttention,
      baseBytes: base.bytes,
    }),
}
