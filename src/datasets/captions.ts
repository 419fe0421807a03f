/**
 * Captions as the trainer gets them: one for each image, on one line, of bounded length.
 *
 * `captions[i]` belongs to `images[i]`. Images that were added after captioning have none yet, which is
 * fine; more captions than images means that an image was taken out, and nothing tells which captions
 * moved. Training on wrong captions costs the user more than a question, so that is refused.
 */
import { Failure } from '../failure.ts'
import { cut, printable } from '../text.ts'

/** Characters; text encoders read some hundred tokens at most. */
const longest = 2_000

/** … of which so many are looked at, since a caption of megabytes takes seconds to clean. */
const longestRead = 4 * longest

export type CleanCaptions = { readonly captions: readonly string[]; readonly warnings: readonly string[] }

export function cleanCaptions(given: readonly string[], images: number): CleanCaptions {
  if (given.length > images) {
    const detail = `there are ${given.length} captions for ${images} images, so which belongs to which is unknown: caption it again`
    throw new Failure('bad-dataset', detail)
  }
  const clean = Array.from({ length: images }, (_, index) =>
    printable(cut(given[index] ?? '', longestRead)).trim(),
  )
  const captions = clean.map((caption) => cut(caption, longest))
  const missing = captions.filter((caption) => caption === '').length
  const shortened = clean.filter((caption) => caption.length > longest).length
  const warnings = [
    ...(missing > 0 ? [`${missing} of ${images} images have no caption and are trained without one.`] : []),
    ...(shortened > 0 ? [`${shortened} captions were shortened to ${longest} characters.`] : []),
  ]
  return { captions, warnings }
}
