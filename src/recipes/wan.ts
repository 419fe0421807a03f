/**
 * WAN 2.1 and 2.2 text-to-video, trained on images as single frames, and on the beginning of short clips: 33
 * frames at WAN's 16 a second, in the smallest resolution, as movement needs frames more than pixels. Defaults:
 * rank and alpha 32, 1e-4 with 8-bit AdamW as in ai-toolkit's examples for WAN 2.1 and 2.2 (November 2026). WAN 2.2 has two
 * experts: a batch belongs to one, so it gets the same number of steps for both together.
 */
import { type BaseSize, diskGb, relativeSize } from '../bases/base-size.ts'
import { estimateSeconds } from './estimate.ts'
import { makePlan } from './make-plan.ts'
import { type Architecture, memoryGb } from './memory.ts'
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
/** 40 blocks with eight projections of 5,120 × 5,120 in their attentions; UMT5 XXL. */
const architecture: Architecture = {
  stages: [{ pixels: 16, width: 5120, blocks: 40 }],
  textTokens: 0,
  adapted: {
    attention: { ofRank1: 3.28e6, layers: 8.4e9 },
    'all-linear': { ofRank1: 4.79e6, layers: 14e9 },
  },
  encoders: 5.7e9,
}
/** A block multiplies a token by 11.4 × width² weights, and 2 × width with each other token: at 768², 81 frames take 2.5 times what 21 images do. */
const tokensOfEqualAttention = 5.7 * 5120

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
        sampleMultiple: 16,
        guidance: 5,
        clipFrames: 33,
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
      sampleSeconds: 8 * relativeSize(base, usual),
      tokensOfEqualAttention,
      baseBytes: base.bytes,
    }),
}
