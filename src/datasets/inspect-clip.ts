/**
 * One clip of a dataset, as far as its container tells: whole, short, of a size that can be trained. It is
 * passed on as it is. No video is decoded here, as a decoder is too much code to meet strangers' files with
 * where credentials are: the trainer does that, sealed off. MediaInfo reads containers only, and is compiled
 * to WebAssembly, so that a hostile file can't reach beyond MediaInfo's own memory. About 30 ms a clip.
 */
import mediaInfoFactory, { type MediaInfoResult } from 'mediainfo.js'
import type { Recipe } from '../recipes/recipe.ts'

export type ClipLimits = NonNullable<Recipe['limits']['clips']>

export type Container = 'mp4' | 'webm'

/** `problem` completes a sentence that begins with the clip's number. */
export type InspectedClip =
  | { readonly clean: 'given'; readonly extension: Container; readonly warnings: string[] }
  | { readonly problem: string }

/** As MediaInfo names them: what browsers play, and phones and cameras write. */
const codecs = new Set(['AVC', 'HEVC', 'VP8', 'VP9', 'AV1'])

/** Still images in a container of the same kind (AVIF, HEIC) say so with these brands. */
const stillBrands = /^(avi[fs]|mi[af]f|mif1|msf1|hei[cxms]|hev[cxms])/

/** What the bytes begin as, whatever the file's name says; undefined for all that is no clip. */
export function clipContainer(bytes: Buffer): Container | undefined {
  if (bytes.toString('latin1', 4, 8) === 'ftyp' && !stillBrands.test(bytes.toString('latin1', 8, 12)))
    return 'mp4'
  return bytes.subarray(0, 4).toString('hex') === '1a45dfa3' ? 'webm' : undefined
}

/** @param minSide Shortest side in pixels, below which a clip is refused. */
export async function inspectClip(
  bytes: Buffer,
  extension: Container,
  minSide: number,
  limits: ClipLimits,
): Promise<InspectedClip> {
  const [general, video] = await tracks(bytes)
  if (general?.extra?.IsTruncated) return { problem: 'is cut off: the file is not whole' }
  const {
    Format: codec = '',
    Width: width,
    Height: height,
    Duration: seconds = general?.Duration,
  } = video ?? {}
  if (!width || !height) return { problem: 'holds no video that can be read' }
  const size = `${width} × ${height} pixels`
  if (!codecs.has(codec)) return { problem: 'is coded in a way other than H.264, H.265, VP8, VP9 or AV1' }
  // What a browser records does not say how long it is; only its beginning is trained anyway.
  if (seconds && seconds > limits.maxSeconds) {
    return {
      problem: `lasts ${Math.ceil(seconds)} s: clips of at most ${limits.maxSeconds} s can be trained`,
    }
  }
  if (width * height > limits.maxPixels) return { problem: `has ${size}, more than can be trained` }
  if (Math.min(width, height) < minSide) {
    return { problem: `is too small: ${size}, at least ${minSide} a side are needed` }
  }
  return { clean: 'given', extension, warnings: [] }
}

/** The whole file's track and the first video's. */
async function tracks(bytes: Buffer) {
  const mediaInfo = await mediaInfoFactory()
  try {
    const read = (size: number, offset: number) => bytes.subarray(offset, offset + size)
    const found: MediaInfoResult = await mediaInfo.analyzeData(bytes.length, read)
    const all = found.media?.track ?? []
    return [
      all.find((track) => track['@type'] === 'General'),
      all.find((track) => track['@type'] === 'Video'),
    ] as const
  } catch {
    return [] as const
  } finally {
    mediaInfo.close()
  }
}
