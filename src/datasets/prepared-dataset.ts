import type { Recipe } from '../recipes/recipe.ts'
import type { ObjectRef } from '../storage/store.ts'
import type { Dataset } from './datasets.ts'

/** The dataset as the trainer gets it: one tar of clean images and captions, in the work bucket. */
export type PreparedDataset = {
  readonly ref: ObjectRef
  readonly size: number
  readonly sha256: string
  /** Of the `images`, `clips` move. */
  readonly images: number
  readonly clips: number
  readonly captions: readonly string[]
  /** What was cleaned or left out, in sentences for the user. */
  readonly warnings: readonly string[]
  /** What its owner calls each file, in order. */
  readonly names: readonly string[]
}

export type PrepareDataset = (
  trainingId: string,
  dataset: Dataset,
  limits: Recipe['limits'],
  signal: AbortSignal,
) => Promise<PreparedDataset>
