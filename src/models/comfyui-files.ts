/**
 * ComfyUI by way of its own folder: finished files are put on a list in the work bucket, which the worker
 * serves at `GET /comfyui/files`; `bellows sync`, beside ComfyUI, fetches what is on it (comfyui-sync.ts).
 */
import { z } from 'zod'
import type { Store } from '../storage/store.ts'
import type { ComfyUi, PublishedFile } from './comfyui.ts'

const fileSchema = z.object({
  modelId: z.string(),
  filename: z.string(),
  url: z.string(),
  size: z.int().positive(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
})

export const listSchema = z.array(fileSchema.omit({ modelId: true }))

export type ComfyUiFiles = ComfyUi & { files(): Promise<readonly PublishedFile[]> }

const prefix = 'comfyui/'

export function comfyUiFiles(store: Store): ComfyUiFiles {
  /** Entries never change once written: each is read once. */
  const known = new Map<string, PublishedFile>()

  return {
    async install(file) {
      const key = `${prefix}${file.modelId}/${file.filename}.json`
      await store.write({ bucket: 'work', key }, JSON.stringify(file), 'application/json')
      return file.modelId
    },
    async files() {
      const entries = await store.list('work', prefix)
      for (const ref of entries) {
        if (known.has(ref.key)) continue
        known.set(ref.key, fileSchema.parse(JSON.parse((await store.read(ref)).toString())))
      }
      return entries.flatMap(({ key }) => known.get(key) ?? [])
    },
  }
}
