/**
 * A folder of pictures and clips, as a dataset's document would list them: sub-folders too, and whatever their names are, as
 * what a file is its bytes say. Captions lie beside (`kite.jpg`, `kite.txt`).
 */
import { readdir, readFile } from 'node:fs/promises'
import { join, parse } from 'node:path'
import { type CaptionFile, captionTexts } from '../src/datasets/caption-text.ts'

export type Folder = {
  /** Below the folder, in order. */
  readonly paths: readonly string[]
  /** One for each of them, empty where there is none. */
  readonly captions: readonly string[]
  readonly warnings: readonly string[]
}

/** Kinds that can't be read are among them, so that they are refused as they are in a job and not overlooked. */
const pictureOrClip = /\.(jpe?g|jpe|jfif|png|webp|gif|avif|tiff?|bmp|hei[cf]|mp4|m4v|mov|webm)$/i

export async function readFolder(folder: string): Promise<Folder> {
  const entries = await readdir(folder, { recursive: true })
  const paths = entries.filter((path) => pictureOrClip.test(path) && !isHidden(path)).sort()
  const files = await Promise.all(paths.map((path) => captionBeside(folder, path)))
  const { texts, warnings } = captionTexts(files)
  return { paths, captions: texts, warnings }
}

/** macOS keeps notes about `kite.jpg` in `._kite.jpg`. */
function isHidden(path: string): boolean {
  return path.split(/[/\\]/).some((name) => name.startsWith('.'))
}

async function captionBeside(folder: string, path: string): Promise<CaptionFile> {
  const { dir, name } = parse(path)
  const caption = join(dir, `${name}.txt`)
  const bytes = await readFile(join(folder, caption)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return Buffer.alloc(0)
    throw error
  })
  return { name: caption, bytes }
}
