/**
 * A plain ComfyUI: what its `models/loras` folder should hold is listed in `comfyuiFiles`, and the `sync`
 * command there downloads what is new. A model may have several files (WAN 2.2: one for each noise range).
 */
import type { Db } from 'mongodb'
import { durable } from '../mongo.ts'
import type { ComfyUi, PublishedFile } from './comfyui.ts'

export type ListedFile = PublishedFile & { readonly publishedAt: Date }

export type ComfyUiFolder = ComfyUi & {
  /** Oldest first, those of the very instant `after` included, so that none is missed. Default: all. */
  list(after?: Date): Promise<readonly ListedFile[]>
}

export function mongoComfyUiFolder(db: Db): ComfyUiFolder {
  const files = durable<ListedFile & { readonly _id: string }>(db, 'comfyuiFiles')
  return {
    async install(file) {
      const once = { ...file, publishedAt: new Date() }
      await files.updateOne(
        { _id: `${file.modelId}/${file.filename}` },
        { $setOnInsert: once },
        { upsert: true },
      )
      return file.modelId
    },
    list(after = new Date(0)) {
      return files
        .find({ publishedAt: { $gte: after } }, { projection: { _id: 0 } })
        .sort({ publishedAt: 1, filename: 1 })
        .toArray()
    },
  }
}
