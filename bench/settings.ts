/** What both contenders are told, each in its own language. */
import type { Family } from '../src/family.ts'
import type { Plan } from '../src/recipes/plan.ts'

export type Settings = {
  readonly family: Family
  readonly steps: number
  readonly batchSize: number
  /** Side of the square pictures, in pixels. */
  readonly resolution: number
  readonly rank: number
  readonly precision: Plan['precision']
  readonly gradientCheckpointing: boolean
  readonly gpu: boolean
  /** A base as large as the published one; else a tiny one. */
  readonly trueSize: boolean
}

/** Steps at the beginning that don't count: memory is still being allocated, kernels chosen. */
export const warmUpSteps = 10

const forTinyBases = {
  steps: 60,
  batchSize: 1,
  resolution: 64,
  rank: 4,
  precision: 'fp32',
  gradientCheckpointing: false,
} as const

const forTrueSizes = {
  steps: 60,
  batchSize: 1,
  resolution: 1024,
  rank: 16,
  precision: 'bf16',
  gradientCheckpointing: true,
} as const

export type Overrides = Partial<Pick<Settings, 'steps' | 'batchSize' | 'resolution' | 'rank'>>

/** @throws when there would be no step left to measure */
export function settingsFor(family: Family, gpu: boolean, overrides: Overrides, trueSize = gpu): Settings {
  const settings = { ...(trueSize ? forTrueSizes : forTinyBases), ...overrides, family, gpu, trueSize }
  if (settings.steps <= warmUpSteps + 1) {
    throw new Error(`The first ${warmUpSteps} steps don't count: --steps must be ${warmUpSteps + 2} or more.`)
  }
  return settings
}

export const learningRate = 1e-4
export const weightDecay = 0.01
export const minSnrGamma = 5
export const seed = 7
