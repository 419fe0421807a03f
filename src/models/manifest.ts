/**
 * The manifest: `manifests/<trainingId>.json` in the work bucket, which is private, because a plan holds a user's
 * prompts. It is written last and only once. Who finds it knows that every file it lists is published, checked, and how
 * to train the same again.
 */
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { type Plan, planSchema } from '../recipes/plan.ts'
import type { ObjectRef, Store } from '../storage/store.ts'

export function manifestRef(trainingId: string): ObjectRef {
  return { bucket: 'work', key: `manifests/${trainingId}.json` }
}

/** Where 0.1.0 wrote it. After an upgrade in the middle of a job it is found there, and nothing is trained again. */
function earlierManifestRef(trainingId: string): ObjectRef {
  return { bucket: 'models', key: `loras/${trainingId}/manifest.json` }
}

/** JSON has no dates: read from text, kept as a date. */
const dateSchema = z.union([z.date(), z.iso.datetime({ offset: true }).transform((text) => new Date(text))])

const fileSchema = z.object({
  /** Path below `/job/out`. */
  name: z.string().min(1),
  /** In the models bucket. */
  key: z.string().min(1),
  /** Bytes. */
  size: z.int().min(0),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** On the bucket's public domain, or `s3://bucket/key` where it has none. */
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
  /** Programs that load the models as they were trained: diffusers has no loader for these families' LoKr. Absent before 0.2. */
  loadedBy: z.array(z.enum(['ComfyUI', 'diffusers'])).optional(),
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

/** What a file of a plan ends in: a family with experts has a LoRA for each. */
const endings = ['', '-high-noise', '-low-noise'] as const

export type TrainerResult = Readonly<z.infer<typeof resultSchema>>

/** The trainer's own words are not trusted: Failure('bad-artifact') unless they make sense and name the plan's files. */
export function parseResult(text: string, plan: Pick<Plan, 'name'>): TrainerResult {
  const result = readResult(text)
  const names = result.files.map(({ name }) => name)
  const known = endings.map((ending) => `${plan.name}${ending}.safetensors`)
  const other = names.find((name, index) => !known.includes(name) || names.indexOf(name) !== index)
  if (other)
    throw new Failure(
      'bad-artifact',
      `the trainer's result names ${other}, which is none of the plan's files`,
    )
  return result
}

function readResult(text: string): TrainerResult {
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
    loadedBy: plan.adapter.method === 'lokr' ? ['ComfyUI'] : ['ComfyUI', 'diffusers'],
    image,
    ...(imageDigest && { imageDigest }),
  })
}

/** Undefined where nothing has been shipped. */
export async function readManifest(
  store: Pick<Store, 'info' | 'read'>,
  trainingId: string,
): Promise<Manifest | undefined> {
  for (const ref of [manifestRef(trainingId), earlierManifestRef(trainingId)]) {
    if (!(await store.info(ref))) continue
    return parseManifest((await store.read(ref, { maxBytes: 4_000_000 })).toString())
  }
  return undefined
}

export function parseManifest(text: string): Manifest {
  return manifestSchema.parse(JSON.parse(text))
}
