/**
 * The tar that a trainer gets: `00001.jpg`, `.png`, `.mp4` or `.webm` with `00001.txt`, in order. The same images and
 * captions give the same bytes, because the plan names the archive by its sum: times, owners and modes
 * are fixed. Written to disk as it comes, so that a large dataset needs no more memory than a small one.
 */
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { pack } from 'tar-stream'

export type Entry = {
  /** A file on this computer, of `size` bytes. */
  readonly path: string
  readonly size: number
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

export async function packDataset(entries: AsyncIterable<Entry>, archive: string): Promise<Packed> {
  const tar = pack()
  const hash = createHash('sha256')
  let total = 0
  const measure = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk)
      total += chunk.length
      done(null, chunk)
    },
  })
  const written = pipeline(tar, measure, createWriteStream(archive))
  written.catch(() => {}) // awaited below, unless the entries fail first

  const captions: string[] = []
  let clips = 0
  try {
    for await (const { path, size, extension, caption } of entries) {
      const stem = String(captions.push(caption)).padStart(5, '0')
      if (extension === 'mp4' || extension === 'webm') clips++
      await add(tar, `${stem}.${extension}`, size, createReadStream(path))
      const text = Buffer.from(caption)
      await add(tar, `${stem}.txt`, text.length, Readable.from([text], { objectMode: false }))
    }
    tar.finalize()
    await written
  } catch (error) {
    tar.destroy()
    await written.catch(() => {})
    throw error
  }
  return { size: total, sha256: hash.digest('hex'), images: captions.length, clips, captions }
}

/** Resolves when the entry has been written, a piece at a time: a slow disk holds back the decoder, and memory stays small. */
async function add(tar: ReturnType<typeof pack>, name: string, size: number, body: Readable): Promise<void> {
  const header = { name, mode: 0o644, mtime: new Date(0), uid: 0, gid: 0, size }
  await pipeline(body, tar.entry(header))
}
