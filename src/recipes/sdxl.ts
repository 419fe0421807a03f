/**
 * SDXL and its kin. Defaults: rank 32, half of it as alpha and 1e-4 go together in the example of kohya's
 * sd-scripts (docs/sdxl_train_network.md); min-SNR 5 as Civitai's trainer offers it (November 2026).
 */
import { diskGb } from '../bases/base-size.ts'
import { estimateSeconds } from './estimate.ts'
import { makePlan } from './make-plan.ts'
import { type Architecture, memoryGb } from './memory.ts'
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

/** In half precision. */
const usual = { bytes: 7e9, trained: [2.6e9] }

/** The UNet's ResNets at its three scales, and the transformers at two of them. */
const architecture: Architecture = {
  stages: [
    { pixels: 8, width: 320, blocks: 5 },
    { pixels: 16, width: 640, blocks: 16 },
    { pixels: 32, width: 1280, blocks: 67 },
  ],
  textTokens: 0,
  adapted: {
    attention: { ofRank1: 1.45e6, layers: 1e9 },
    'all-linear': { ofRank1: 2.65e6, layers: 2e9 },
  },
  encoders: 0.82e9,
}

export const sdxl: Recipe = {
  family: 'SDXL',
  image: 'sdxl',
  limits,
  keyPrefix: 'lora_unet_',
  plan: (input) =>
    makePlan(
      'SDXL',
      limits,
      {
        steps: stepsFor({ perImage: 80, min: 800, max: 2500 }),
        resolutions: [1024],
        rank: 32,
        alphaPerRank: 0.5,
        learningRate: 1e-4,
        captionDropout: 0.05,
        minSnrGamma: 5,
        ema: null,
        quantization: 'none',
        schedule: 'cosine',
        sampleSteps: 28,
        sampleMultiple: 8,
        guidance: 6,
      },
      input,
    ),
  requirements: (plan, base = usual) => ({
    gpuMemoryGb: memoryGb(plan, base, architecture),
    gpus: 1,
    diskGb: diskGb(base),
  }),
  estimate: (plan, speed, base = usual) =>
    estimateSeconds(plan, speed, { sampleSeconds: 1.8, baseBytes: base.bytes }),
}
