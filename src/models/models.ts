/** The existing `loraModels` collection. A training makes at most one model. */
import type { Family } from '../family.ts'

export type NewModel = {
  readonly trainingId: string
  readonly datasetId: string
  readonly captionSetId: string | undefined
  readonly ownerAccountId: string
  /** For people; the slug is made from it and kept unique. */
  readonly name: string
  readonly family: Family
  readonly baseModel: string
  readonly triggerWords: readonly string[]
  readonly steps: number
  /** Seconds of training. */
  readonly duration: number
  readonly finalLoss: number
  readonly trainedAt: Date
  readonly examplePrompts: readonly string[]
  readonly previewImages: readonly string[]
  readonly modelFileUrl: string
}

export type RegisteredModel = { readonly id: string; readonly slug: string; readonly name: string }

export interface Models {
  /** Registers it; registered already by this training: returns that one unchanged. */
  register(model: NewModel): Promise<RegisteredModel>
  findByTraining(trainingId: string): Promise<RegisteredModel | undefined>
}
