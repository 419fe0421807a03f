/** A document of `datasets`, read without trust. */
import { ObjectId } from 'mongodb'
import { toIdText } from '../mongo.ts'
import { cut } from '../text.ts'
import type { Dataset } from './datasets.ts'

/** Characters; more than anybody types, and few enough that a name of megabytes costs nothing. */
const longestName = 1_000

type Document = Readonly<Record<string, unknown>>

export function datasetFrom(document: Document): Dataset {
  const { ownerAccountId, images, accessControl, name, status, visibility } = document
  const problem = problemOf(document)
  const captionSet = newestFinished(document.captionSets)
  return {
    id: toIdText(document._id),
    name: typeof name === 'string' ? cut(name, longestName) : '',
    ownerAccountId: ownerAccountId instanceof ObjectId ? ownerAccountId.toHexString() : '',
    status: typeof status === 'string' ? cut(status, longestName) : 'unknown',
    visibility: typeof visibility === 'string' ? visibility : 'private',
    accessControl: listOf(accessControl).flatMap((each) =>
      each instanceof ObjectId ? [each.toHexString()] : [],
    ),
    images: listOf(images).filter(isAddress),
    captions: listOf(captionSet?.captions).map((caption) => (typeof caption === 'string' ? caption : '')),
    captionSetId: captionSet?._id instanceof ObjectId ? captionSet._id.toHexString() : undefined,
    ...(problem !== undefined && { problem }),
  }
}

function problemOf({ ownerAccountId, images }: Document): string | undefined {
  if (!(ownerAccountId instanceof ObjectId)) return 'it has no valid owner'
  if (!Array.isArray(images)) return 'it has no list of images'
  const wrong = images.findIndex((image) => !isAddress(image))
  return wrong >= 0 ? `image ${wrong + 1} has no address` : undefined
}

function isAddress(image: unknown): image is string {
  return typeof image === 'string' && image !== ''
}

/** Words that other systems use for a caption set that is still being written, or went wrong. */
const unfinished = /^(draft|queued|pending|waiting|running|processing|in.?progress|failed|error|cancell?ed)$/i

/** `status` is optional: a set without one is finished. */
function newestFinished(captionSets: unknown): Document | undefined {
  return listOf(captionSets)
    .filter((set): set is Document => typeof set === 'object' && set !== null)
    .filter(
      ({ status, captions }) =>
        Array.isArray(captions) && !(typeof status === 'string' && unfinished.test(cut(status, longestName))),
    )
    .toSorted((a, b) => time(b.createdAt) - time(a.createdAt))[0]
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function time(value: unknown): number {
  return value instanceof Date && !Number.isNaN(value.getTime()) ? value.getTime() : 0
}
