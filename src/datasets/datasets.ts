/** The existing `datasets` collection: read as it is, and told of each training once. */
export type Dataset = {
  readonly id: string
  readonly name: string
  readonly ownerAccountId: string
  readonly status: string
  readonly visibility: string
  /** Accounts that a private dataset is shared with. */
  readonly accessControl: readonly string[]
  /** `https://…` on the CDN, `s3://bucket/key`, or a bare key; checked by locate.ts. */
  readonly images: readonly string[]
  /** `captions[i]` belongs to `images[i]`; from the newest finished caption set, else empty. */
  readonly captions: readonly string[]
  readonly captionSetId: string | undefined
  /** Why the document makes no sense, for its owner; the other fields are what could be read. */
  readonly problem?: string
}

export interface Datasets {
  /** Undefined if there is none. */
  read(id: string): Promise<Dataset | undefined>
  /** Adds the training to `trainingIds` and counts `usageCount` up, once however often it is called. */
  recordTraining(datasetId: string, trainingId: string): Promise<void>
}
