/** The demo's photographs as squares, so that every trainer sees the same pixels whether or not it has buckets. */
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, parse } from 'node:path'
import sharp from 'sharp'
import type { Caption } from '../local/setup/photographs.ts'

/**
 * Writes the pictures in two layouts: `dataset` with a text beside each, and `captioned` with `metadata.jsonl`.
 *
 * @param side Of each picture in pixels, at least what the trainers scale it to
 * @returns how many there are
 */
export async function makeDatasets(photographs: string, folder: string, side: number): Promise<number> {
  const captions: readonly Caption[] = JSON.parse(await readFile(join(photographs, 'captions.json'), 'utf8'))
  for (const layout of ['dataset', 'captioned']) await mkdir(join(folder, layout))
  const lines: string[] = []
  for (const { file, caption } of captions) {
    const picture = join(folder, 'captioned', file)
    await sharp(join(photographs, file))
      .resize(side, side, { fit: 'cover' })
      .jpeg({ quality: 95 })
      .toFile(picture)
    await copyFile(picture, join(folder, 'dataset', file))
    await writeFile(join(folder, 'dataset', `${parse(file).name}.txt`), caption)
    lines.push(JSON.stringify({ file_name: file, text: caption }))
  }
  await writeFile(join(folder, 'captioned', 'metadata.jsonl'), `${lines.join('\n')}\n`)
  return captions.length
}
