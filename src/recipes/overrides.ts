/**
 * GivenOverrides: what a job's document or an operator's offering asks for beyond the defaults. A document has
 * other fields too, so names that are no override are ignored; an override that can't be granted is refused with
 * the field, what it says and what it may say.
 */
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { cut, printable } from '../text.ts'
import { clipFramesSchema, type Plan, planSchema } from './plan.ts'
import type { GivenOverrides } from './recipe.ts'

export type Range = { readonly min: number; readonly max: number }

export type OverrideLimits = { readonly steps: Range; readonly rank: Range; readonly resolution: Range }

/** Beyond what a job may ask for: an operator may have tiny base models, or very long trainings. */
export const operatorLimits: OverrideLimits = {
  steps: { min: 1, max: 100_000 },
  rank: { min: 1, max: 256 },
  resolution: { min: 32, max: 2048 },
}

export type Overrides = Partial<{
  steps: number
  resolutions: number[]
  clipFrames: number
  rank: number
  alpha: number
  method: Plan['adapter']['method']
  targets: Plan['adapter']['targets']
  learningRate: number
  optimizer: Plan['optimizer']['name']
  weightDecay: number
  schedule: Plan['schedule']['name']
  warmupSteps: number
  batchSize: number
  gradientAccumulation: number
  captionDropout: number
  flip: boolean
  ema: number | null
  seed: number
  minSnrGamma: number | null
  samplePrompts: string[]
  sampleEvery: number
  sampleSteps: number
  sampleSize: number
  guidance: number
  checkpointEvery: number
  precision: Plan['precision']
  quantization: Plan['quantization']
  gradientCheckpointing: boolean
}>

/** The overrides among `given`; null and undefined are none. Throws Failure('bad-request'). */
export function readOverrides(given: GivenOverrides, limits: OverrideLimits): Overrides {
  const overrides: Record<string, unknown> = {}
  for (const [field, override] of Object.entries(overridesWithin(limits))) {
    const value = Object.hasOwn(given, field) ? given[field] : undefined
    if (value === undefined || value === null) continue
    const read = override.schema.safeParse(value)
    if (!read.success) {
      throw new Failure('bad-request', `${field} is ${shown(value)}, but must be ${override.allowed}`)
    }
    overrides[field === 'resolution' ? 'resolutions' : field] = read.data
  }
  return overrides
}

/** Of every override. */
export const overrideNames: readonly string[] = Object.keys(overridesWithin(operatorLimits))

/** Whether the override of that name is valid within the operator's limits. */
export function isOverrideFor(name: string, value: unknown): boolean {
  const all = overridesWithin(operatorLimits)
  return Object.hasOwn(all, name) && all[name]?.schema.safeParse(value).success === true
}

type Override = { readonly schema: z.ZodType; readonly allowed: string }

function overridesWithin({ steps, rank, resolution }: OverrideLimits): Record<string, Override> {
  const { adapter, optimizer, schedule, precision, quantization } = planSchema.shape
  return {
    steps: whole(steps),
    // A single one first, so that a list, where both are there, wins.
    resolution: { ...whole(resolution), schema: whole(resolution).schema.transform((side) => [side]) },
    resolutions: list(
      z.int().min(resolution.min).max(resolution.max),
      5,
      `whole numbers ${between(resolution)}`,
    ),
    clipFrames: {
      schema: clipFramesSchema,
      allowed: 'a whole number from 1 to 81, one more than a multiple of 4',
    },
    rank: whole(rank),
    alpha: number({ min: 0.01, max: 1024 }),
    method: oneOf(adapter.shape.method),
    targets: oneOf(adapter.shape.targets),
    learningRate: number({ min: 1e-7, max: 10 }),
    optimizer: oneOf(optimizer.shape.name),
    weightDecay: number({ min: 0, max: 1 }),
    schedule: oneOf(schedule.shape.name),
    warmupSteps: whole({ min: 0, max: steps.max }),
    batchSize: whole({ min: 1, max: 16 }),
    gradientAccumulation: whole({ min: 1, max: 64 }),
    captionDropout: number({ min: 0, max: 1 }),
    flip: truth(),
    ema: {
      schema: z.union([z.boolean().transform((on) => (on ? defaultEma : null)), z.number().gt(0).lt(1)]),
      allowed: 'true, false, or a number between 0 and 1',
    },
    seed: whole({ min: 0, max: 2 ** 31 - 1 }),
    minSnrGamma: number({ min: 0.1, max: 100 }),
    samplePrompts: list(
      z
        .string()
        .trim()
        .min(1)
        .max(1000)
        .transform((prompt) => prompt.toWellFormed()),
      8,
      'texts of at most 1000 characters',
    ),
    sampleEvery: whole({ min: 0, max: steps.max }),
    sampleSteps: whole({ min: 1, max: 100 }),
    sampleSize: whole(resolution),
    guidance: number({ min: 0, max: 30 }),
    checkpointEvery: whole({ min: 1, max: steps.max }),
    precision: oneOf(precision),
    quantization: oneOf(quantization),
    gradientCheckpointing: truth(),
  }
}

/** As ai-toolkit's example for FLUX has it (November 2026). */
export const defaultEma = 0.99

function truth(): Override {
  return { schema: z.boolean(), allowed: 'true or false' }
}

function whole(range: Range): Override {
  return { schema: z.int().min(range.min).max(range.max), allowed: `a whole number ${between(range)}` }
}

function number(range: Range): Override {
  return { schema: z.number().min(range.min).max(range.max), allowed: `a number ${between(range)}` }
}

function oneOf(schema: z.ZodEnum): Override {
  return { schema, allowed: `one of ${schema.options.join(', ')}` }
}

function list(item: z.ZodType, most: number, of: string): Override {
  return { schema: z.array(item).min(1).max(most), allowed: `a list of 1 to ${most} ${of}` }
}

function between({ min, max }: Range): string {
  return `from ${min} to ${max}`
}

/** As a person would read it, on one line and short. */
function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? typeof value)
  const short = cut(printable(cut(text, 200)), 60)
  return typeof value === 'string' ? `the text "${short}"` : short
}
