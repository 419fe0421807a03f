/**
 * Links to published files. Documents carry the address of a file: on the bucket's public domain, or `s3://bucket/key`
 * where there is none. A client that fetches it then gets a presigned link, made on request.
 */
import type { Store } from '../storage/store.ts'
import type { ComfyUi, PublishedFile } from './comfyui.ts'
import type { ComfyUiFolder } from './mongo-comfyui-folder.ts'

/** A ComfyUI that is slow gets another link with its next look. */
const validSeconds = 24 * 3600

export async function fetchable<File extends PublishedFile>(store: Store, file: File): Promise<File> {
  return { ...file, url: await linkTo(store, file.url, validSeconds) }
}

/** The address itself where it is no private file of ours. */
export async function linkTo(store: Store, address: string, seconds: number): Promise<string> {
  const key = keyOf(store, address)
  return key ? store.presignRead({ bucket: 'models', key }, seconds) : address
}

/** A service that fetches a file by itself, from the link that it is told. */
export function withLinks(comfyUi: ComfyUi, store: Store): ComfyUi {
  return { install: async (file) => comfyUi.install(await fetchable(store, file)) }
}

/** What `bellows sync` is answered. */
export async function listWithLinks(
  folder: Pick<ComfyUiFolder, 'list'>,
  store: Store,
): Promise<readonly PublishedFile[]> {
  return Promise.all((await folder.list()).map((file) => fetchable(store, file)))
}

function keyOf(store: Store, url: string): string | undefined {
  const start = store.publicUrl('')
  return start.startsWith('s3://') && url.startsWith(start) ? url.slice(start.length) : undefined
}
