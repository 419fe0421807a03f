/**
 * The plan: everything a trainer needs to know, and all it is told. A recipe makes it from a job and
 * an offering; it is frozen, written to the machine as `/job/plan.json` and printed into the manifest,
 * so that the same training can be run again. `images/common/` reads the same shape.
 */
import { z } from 'zod'
import { familySchema } from '../family.ts'

/** Stem of a file that may be named on any file system, in a URL and in a shell. */
export const slugSchema = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/)

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/)

/** A video's encoder makes one frame of the first, and one more of each four that follow. */
export const clipFramesSchema = z
  .int()
  .min(1)
  .max(81)
  .refine((frames) => frames % 4 === 1)

export const planSchema = z.strictObject({
  version: z.literal(1),
  trainingId: z.string().regex(/^[0-9a-f]{24}$/),
  family: familySchema,
  /** `/job/out/<name>.safetensors` comes out (WAN 2.2: `<name>-high-noise` and `<name>-low-noise`). */
  name: slugSchema,
  triggerWord: z.string().min(1).max(64).nullable(),
  /** The base's name for people, and the sha256 of its file list: weights that differ are refused. */
  baseModel: z.strictObject({ name: z.string().min(1), sha256: sha256Schema }),
  /** `images` counts the pairs in `/job/dataset`, `clips` those among them that move; `sha256` is over their tar. */
  dataset: z.strictObject({ images: z.int().positive(), clips: z.int().min(0), sha256: sha256Schema }),
  seed: z
    .int()
    .min(0)
    .max(2 ** 31 - 1),
  /** Optimizer steps, each over `batchSize` × `gradientAccumulation` samples. */
  steps: z.int().positive(),
  batchSize: z.int().positive(),
  gradientAccumulation: z.int().positive(),
  /** Areas to bucket by, as the side of the square in pixels. An epoch has each image in one of them, or in its own if that is less. */
  resolutions: z.array(z.int().min(32).max(2048)).min(1),
  /** Most frames of a clip to train, at the family's own rate; 1 where there is none. */
  clipFrames: clipFramesSchema,
  adapter: z.strictObject({
    method: z.enum(['lora', 'lokr']),
    rank: z.int().min(1).max(256),
    alpha: z.number().positive(),
    /** `attention` is q, k, v and out of every attention; `all-linear` adds the feed-forward layers. */
    targets: z.enum(['attention', 'all-linear']),
  }),
  optimizer: z.strictObject({
    name: z.enum(['adamw', 'adamw8bit', 'prodigy']),
    learningRate: z.number().positive().max(10),
    weightDecay: z.number().min(0),
    maxGradientNorm: z.number().positive(),
  }),
  schedule: z.strictObject({
    name: z.enum(['constant', 'cosine']),
    warmupSteps: z.int().min(0),
  }),
  /** Share of samples trained with an empty caption. */
  captionDropout: z.number().min(0).max(1),
  /** Mirror half of the samples left to right. */
  flip: z.boolean(),
  precision: z.enum(['bf16', 'fp32']),
  /** How the frozen base is kept in GPU memory. */
  quantization: z.enum(['none', 'int8', 'nf4']),
  gradientCheckpointing: z.boolean(),
  /** Min-SNR weighting (arXiv 2303.09556); SDXL only. */
  minSnrGamma: z.number().positive().nullable(),
  /** Decay of the averaged adapter weights, which are saved instead of the last ones. */
  ema: z.number().gt(0).lt(1).nullable(),
  samples: z.strictObject({
    /** Steps between sample images; 0: only at the end. */
    every: z.int().min(0),
    prompts: z.array(z.string().min(1).max(1000)).max(8),
    inferenceSteps: z.int().positive(),
    size: z.int().min(32).max(2048),
    guidance: z.number().min(0),
  }),
  /** Steps between checkpoints: the most that a lost machine can cost. */
  checkpointEvery: z.int().positive(),
})

export type Plan = Readonly<z.infer<typeof planSchema>>
