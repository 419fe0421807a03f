/**
 * A recipe: how one base-model family is trained. It turns a job's overrides into a frozen plan, says what
 * the job needs of a machine, how long it takes and which image trains it. Nothing here does anything.
 */
import type { BaseSize } from '../bases/base-size.ts'
import type { Requirements } from '../cloud/machines.ts'
import type { Family } from '../family.ts'
import type { Plan } from './plan.ts'

/** An override comes from the job's document or from the operator's offering; all are optional. */
export type GivenOverrides = Readonly<Record<string, unknown>>

export type PlanInput = {
  readonly trainingId: string
  readonly name: string
  readonly triggerWord: string | null
  readonly baseModel: { readonly name: string; readonly sha256: string }
  /** Of the `images`, `clips` move; none unless it is said. */
  readonly dataset: { readonly images: number; readonly clips?: number; readonly sha256: string }
  readonly captions: readonly string[]
  readonly overrides: GivenOverrides
  /** The offering's own defaults: beyond the recipe's, below the job's overrides. */
  readonly offering: GivenOverrides
}

export type Estimate = {
  /** Seconds of boot, staging, training and shipping together, and of training alone. */
  readonly totalSeconds: number
  readonly trainSeconds: number
}

/** What a GPU does compared with an L4, for estimates. */
export type GpuSpeed = { readonly gpu: string; readonly timesL4: number }

export type Recipe = {
  readonly family: Family
  /** Name of the image folder, and of the image unless the operator names another. */
  readonly image: string
  readonly limits: {
    readonly images: { readonly min: number; readonly max: number }
    /** Shortest side of an image, in pixels, below which training is pointless. */
    readonly minSide: number
    readonly maxSide: number
    /** Absent where a family is trained on images only. */
    readonly clips?: {
      readonly maxSeconds: number
      /** Of one frame. */
      readonly maxPixels: number
    }
    readonly steps: { readonly min: number; readonly max: number }
    readonly rank: { readonly min: number; readonly max: number }
  }
  /** Key prefix that ComfyUI loads for this family (TRAINING facts in docs/recipes.md). */
  readonly keyPrefix: string
  /** Throws Failure('bad-request') with the override that is out of bounds. */
  plan(input: PlanInput): Plan
  /** Without a size, of the family's usual base. */
  requirements(plan: Plan, base?: BaseSize): Requirements
  estimate(plan: Plan, speed: GpuSpeed, base?: BaseSize): Estimate
}
