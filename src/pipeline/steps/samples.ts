/** Which of the pictures that a trainer drew are published: a container decides how many there are, and how large. */
import type { OutputFile } from '../../remote/host.ts'

/** In a gallery, four pictures at each of sixteen steps. */
const mostSamples = 64
/** Bytes. A PNG of 2048 × 2048 pixels takes 13 MB at most. */
const largestSample = 32 * 1024 * 1024

const pathPattern = /^samples\/[\w.-]+\.(?:png|jpe?g|webp)$/

export type Choice = {
  readonly samples: readonly OutputFile[]
  /** A sentence, where something was left out. */
  readonly leftOut?: string
}

/** The newest 64, by the numbers in their names, of at most 32 MiB each. */
export function chooseSamples(files: readonly OutputFile[]): Choice {
  const all = files.filter(({ path }) => pathPattern.test(path))
  const fitting = all.filter(({ size }) => size > 0 && size <= largestSample)
  const byNumber = fitting.toSorted((a, b) => a.path.localeCompare(b.path, 'en', { numeric: true }))
  const samples = byNumber.slice(-mostSamples)
  const count = all.length - samples.length
  if (count === 0) return { samples }
  const what = count === 1 ? '1 sample was' : `${count} samples were`
  return {
    samples,
    leftOut: `${what} left out: at most ${mostSamples} are published, of at most 32 MiB each, and none that is empty`,
  }
}

export function mediaType(path: string): string {
  if (path.endsWith('.png')) return 'image/png'
  if (path.endsWith('.webp')) return 'image/webp'
  return /\.jpe?g$/.test(path) ? 'image/jpeg' : 'application/octet-stream'
}
