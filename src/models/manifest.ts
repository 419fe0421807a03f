/**
 * The manifest: `loras/<trainingId>/manifest.json` in the models bucket, written last and only once. Who
 * finds it knows that every file it lists is in the store, checked, and how to train the same again.
 */
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { type Plan, planSchema } from '../recipes/plan.ts'

export function manifestKey(trainingId: string): string {
  return `loras/${trainingId}/manifest.json`
}

/** JSON has no dates: read from text, kept as a date. */
const dateSchema = z.union([z.date(), z.iso.datetime({ offset: true }).transform((text) => new Date(text))])

const fileSchema = z.object({
  /** Path below `/job/out`. */
  name: z.string().min(1),
  key: z.string().min(1),
  /** Bytes. */
  size: z.int().min(0),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** On the bucket's public domain. */
  url: z.string().min(1),
})

const manifestSchema = z.object({
  version: z.literal(1),
  trainingId: z.string(),
  models: z.array(fileSchema).min(1),
  samples: z.array(fileSchema),
  training: z.object({
    steps: z.int().positive(),
    /** From the first step to the last. */
    seconds: z.number().min(0),
    finalLoss: z.number(),
    finishedAt: dateSchema,
  }),
  shippedAt: dateSchema,
  /** Base model and dataset, with their sums, are in it. */
  plan: planSchema,
  /** The container image that trained it. */
  image: z.string().min(1),
  /** `sha256:…` that its tag led to. */
  imageDigest: z.string().optional(),
})

export type Manifest = Readonly<z.infer<typeof manifestSchema>>
export type ShippedFile = Manifest['models'][number]

/** What a trainer writes into `/job/out/result.json` when it is done; it may say more. */
const resultSchema = z.object({
  /** Steps that were trained, those before a resumption included. */
  steps: z.int().positive(),
  seconds: z.number().min(0),
  finalLoss: z.number(),
  finishedAt: dateSchema.optional(),
  files: z
    .array(z.object({ name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,79}\.safetensors$/) }))
    .min(1)
    .max(4),
})

export type TrainerResult = Readonly<z.infer<typeof resultSchema>>

/** The trainer's own words are not trusted: Failure('bad-artifact') unless they make sense. */
export function parseResult(text: string): TrainerResult {
  try {
    return resultSchema.parse(JSON.parse(text))
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : 'it is no JSON'
    throw new Failure('bad-artifact', "the trainer's result makes no sense", { evidence: why, cause: error })
  }
}

export type ManifestInput = {
  readonly plan: Plan
  readonly image: string
  readonly imageDigest?: string | undefined
  readonly result: TrainerResult
  readonly models: readonly ShippedFile[]
  readonly samples: readonly ShippedFile[]
  readonly shippedAt: Date
  /** Below the plan's where the trainer was asked to finish early. */
  readonly fewestSteps: number
}

export function buildManifest(input: ManifestInput): Manifest {
  const { plan, image, imageDigest, result, models, samples, shippedAt, fewestSteps } = input
  if (result.steps < fewestSteps) {
    throw new Failure('bad-artifact', `only ${result.steps} of ${plan.steps} steps were trained`)
  }
  const { steps, seconds, finalLoss, finishedAt = shippedAt } = result
  return manifestSchema.parse({
    version: 1,
    trainingId: plan.trainingId,
    models,
    samples,
    training: { steps, seconds, finalLoss, finishedAt },
    shippedAt,
    plan,
    image,
    ...(imageDigest && { imageDigest }),
  })
}

export function parseManifest(text: string): Manifest {
  return manifestSchema.parse(JSON.parse(text))
}
