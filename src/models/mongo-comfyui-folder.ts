/**
 * A plain ComfyUI: what its `models/loras` folder should hold is listed in `comfyuiFiles`, and the `sync`
 * command there downloads what is new.
 */
import type { Db } from 'mongodb'
import { durable } from '../mongo.ts'
import type { ComfyUi, PublishedFile } from './comfyui.ts'

export type ListedFile = PublishedFile & { readonly publishedAt: Date }

export type ComfyUiFolder = ComfyUi & {
  /** Oldest first, those of the very instant `after` included, so that none is missed. Default: all. */
  list(after?: Date): Promise<readonly ListedFile[]>
}

type FileDocument = Omit<ListedFile, 'modelId'> & { readonly _id: string }

export function mongoComfyUiFolder(db: Db): ComfyUiFolder {
  const files = durable<FileDocument>(db, 'comfyuiFiles')
  return {
    async install({ modelId, filename, url, size, sha256 }) {
      const once = { filename, url, size, sha256, publishedAt: new Date() }
      await files.updateOne({ _id: modelId }, { $setOnInsert: once }, { upsert: true })
      return modelId
    },
    async list(after) {
      const found = await files
        .find(after ? { publishedAt: { $gte: after } } : {})
        .sort({ publishedAt: 1, _id: 1 })
        .toArray()
      return found.map(({ _id, ...file }) => ({ modelId: _id, ...file }))
    },
  }
}
