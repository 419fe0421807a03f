/** A ComfyUI folder's list without a database. */
import type { ComfyUiFolder, ListedFile } from '../../src/models/mongo-comfyui-folder.ts'

export function memoryComfyUiFolder(now: () => Date = () => new Date()): ComfyUiFolder {
  const files = new Map<string, ListedFile>()
  return {
    async install(file) {
      const key = `${file.modelId}/${file.filename}`
      if (!files.has(key)) files.set(key, { ...file, publishedAt: now() })
      return file.modelId
    },
    async list(after = new Date(0)) {
      return [...files.values()].filter(({ publishedAt }) => publishedAt >= after)
    },
  }
}
