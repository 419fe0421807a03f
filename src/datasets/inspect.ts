/**
 * One image of a dataset, decoded whole and written anew: upright, sRGB with 8 bits, no transparency, no
 * larger than the recipe can use, and without metadata (photographs carry the place where they were taken).
 *
 * Always written anew, because a file that was only looked at may still hold what the trainer's decoder
 * trips over. JPEG stays JPEG at quality 95 without chroma subsampling; all else becomes PNG. Measured
 * for 1.5 megapixels of photographic noise: PNG 95 ms and 3.0 MB, lossless WebP 390–1020 ms and
 * 2.3–1.9 MB, JPEG 38 ms and 0.6 MB: WebP would cost more of the worker's time than it saves in transfer.
 */
import sharp, { type Metadata } from 'sharp'
import { bounds } from './bounds.ts'

// libvips knows many more formats; some of them (SVG) can refer to other files.
sharp.block({ operation: ['VipsForeignLoad'] })
sharp.unblock({
  operation: ['Jpeg', 'Png', 'Webp', 'Nsgif', 'Heif', 'Tiff'].map((format) => `VipsForeignLoad${format}`),
})
// One thread an image and several processes at once: 40 photographs of 12 megapixels in 3.4 s on 2 cores,
// against 5.0 s with a thread for each core.
sharp.concurrency(1)
// Every image is seen once: a cache of decoded ones is only memory.
sharp.cache(false)

export type ImageLimits = {
  /** Shortest side in pixels, below which an image is refused. */
  readonly minSide: number
  /** Longest side in pixels; larger images are scaled down to it. */
  readonly maxSide: number
}

export type CleanImage = {
  readonly bytes: Buffer
  readonly extension: 'jpg' | 'png'
  /** What the user would want to know: completes a sentence that begins with the image's number. */
  readonly warnings: string[]
}

/** `problem` completes a sentence that begins with the image's number. */
export type InspectedImage = CleanImage | { readonly problem: string }

export async function inspectImage(bytes: Buffer, limits: ImageLimits): Promise<InspectedImage> {
  if (bytes.length === 0) return { problem: 'is empty' }
  if (isHeic(bytes)) {
    return { problem: 'is a HEIC picture, as phones take them, which can’t be read: export it as JPEG' }
  }
  const image = sharp(bytes, {
    limitInputPixels: bounds.maxPixels,
    failOn: 'error',
    pages: 1,
    sequentialRead: true,
  })
  let metadata: Metadata
  try {
    metadata = await image.metadata()
  } catch (error) {
    return { problem: whyUnreadable(error) }
  }
  const { width, height } = metadata.autoOrient
  const tooLarge = width * height > bounds.maxPixels
  if (tooLarge) return { problem: `has ${width} × ${height} pixels, more than can be read` }
  if (Math.min(width, height) < limits.minSide) {
    return {
      problem: `is too small: ${width} × ${height} pixels, at least ${limits.minSide} a side are needed`,
    }
  }
  if (unsettledDepths.has(metadata.depth) && !settledSpaces.has(metadata.space)) {
    return { problem: 'has 32 bits a colour, and nothing says how bright they are: save it with 8 or 16' }
  }
  try {
    const clean = image
      .timeout({ seconds: bounds.fileMs / 1000 })
      .autoOrient()
      .flatten({ background: 'white' })
      .resize({ width: limits.maxSide, height: limits.maxSide, fit: 'inside', withoutEnlargement: true })
      .toColourspace('srgb')
    // Of a picture of 16 bits with a profile, sharp keeps the colours of P3 that it works in unless it is told where to go.
    const inP3 = metadata.hasProfile && metadata.space === 'rgb16'
    if (inP3) clean.withIccProfile('srgb', { attach: false })
    const jpeg = metadata.format === 'jpeg'
    const written = jpeg ? clean.jpeg({ quality: 95, chromaSubsampling: '4:4:4' }) : clean.png()
    return {
      bytes: await written.toBuffer(),
      extension: jpeg ? 'jpg' : 'png',
      warnings: (metadata.pages ?? 1) > 1 ? ['is animated: only its first frame is used'] : [],
    }
  } catch (error) {
    return { problem: whyUnreadable(error) }
  }
}

/** HEVC in HEIF: sharp's libheif has AV1 only, and libvips calls such a file broken. */
function isHeic(bytes: Buffer): boolean {
  if (bytes.toString('latin1', 4, 8) !== 'ftyp') return false
  const brands = bytes.toString('latin1', 8, Math.min(bytes.readUInt32BE(0), 128)).match(/.{4}/gs) ?? []
  return (
    brands.some((brand) => /^he(ic|ix|vc|vx|im|is|vm|vs)$/.test(brand)) &&
    !brands.some((brand) => brand === 'avif')
  )
}

/** Of which libvips takes the numbers for 0 to 255, where many programs write 0 to 1 or 0 to 2³². */
const unsettledDepths: ReadonlySet<string> = new Set([
  'char',
  'short',
  'int',
  'uint',
  'float',
  'double',
  'complex',
])
const settledSpaces: ReadonlySet<string> = new Set(['scrgb', 'lab', 'labs', 'xyz'])

/** libvips's messages, in words for the person who uploaded the file. */
function whyUnreadable(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  if (/pixel limit|exceeds|too large|dimensions/i.test(message)) return 'has more pixels than can be read'
  if (/\blabq?\b/i.test(message)) return 'is in CIE Lab colours, which can’t be read: save it as sRGB'
  if (/timeout/i.test(message)) return `took longer than ${bounds.fileMs / 1000} s to read`
  if (/unsupported image format|blocked|operation/i.test(message)) {
    return 'is not a picture in JPEG, PNG, WebP, GIF, AVIF or TIFF format'
  }
  if (/premature|truncated|end of|not enough|unexpected|EOF|libpng read error/i.test(message))
    return 'is cut off: the file is not whole'
  return 'is broken or cut off'
}
