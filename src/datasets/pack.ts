/**
 * The tar that a trainer gets: `00001.jpg`, `.png`, `.mp4` or `.webm` with `00001.txt`, in order. The same images and
 * captions give the same bytes, because the plan names the archive by its sum: times, owners and modes
 * are fixed. Written to disk as it comes, so that a large dataset needs no more memory than a small one.
 */
import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { pack } from 'tar-stream'

export type Entry = {
  readonly bytes: Buffer
  readonly extension: 'jpg' | 'png' | 'mp4' | 'webm'
  readonly caption: string
}

export type Packed = {
  readonly size: number
  readonly sha256: string
  /** Of the `images`, `clips` move. */
  readonly images: number
  readonly clips: number
  readonly captions: readonly string[]
}

export async function packDataset(entries: AsyncIterable<Entry>, path: string): Promise<Packed> {
  const tar = pack()
  const hash = createHash('sha256')
  let size = 0
  const measure = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk)
      size += chunk.length
      done(null, chunk)
    },
  })
  const written = pipeline(tar, measure, createWriteStream(path))
  written.catch(() => {}) // awaited below, unless the entries fail first

  const captions: string[] = []
  let clips = 0
  try {
    for await (const { bytes, extension, caption } of entries) {
      const stem = String(captions.push(caption)).padStart(5, '0')
      if (extension === 'mp4' || extension === 'webm') clips++
      await add(tar, `${stem}.${extension}`, bytes)
      await add(tar, `${stem}.txt`, Buffer.from(caption))
    }
    tar.finalize()
    await written
  } catch (error) {
    tar.destroy()
    await written.catch(() => {})
    throw error
  }
  return { size, sha256: hash.digest('hex'), images: captions.length, clips, captions }
}

/** Resolves when the entry has been taken, so that a slow disk holds back the decoder. */
function add(tar: ReturnType<typeof pack>, name: string, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const header = { name, mode: 0o644, mtime: new Date(0), uid: 0, gid: 0, size: bytes.length }
    tar.once('error', reject)
    tar.entry(header, bytes, (error) => {
      tar.off('error', reject)
      if (error) reject(error)
      else resolve()
    })
  })
}
