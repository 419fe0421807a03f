/** A document of `datasets`, read without trust. */
import { ObjectId } from 'mongodb'
import { Failure } from '../failure.ts'
import { toIdText } from '../mongo.ts'
import { cut } from '../text.ts'
import type { Dataset } from './datasets.ts'

/** Characters; more than anybody types, and few enough that a name of megabytes costs nothing. */
const longestName = 1_000

type Document = Readonly<Record<string, unknown>>

/** Throws Failure('bad-dataset') with what is wrong, for the job's owner. */
export function datasetFrom(document: Document): Dataset {
  const { ownerAccountId, images, accessControl, name, status, visibility } = document
  if (!(ownerAccountId instanceof ObjectId)) throw bad('it has no valid owner')
  if (!Array.isArray(images)) throw bad('it has no list of images')
  const wrong = images.findIndex((image) => typeof image !== 'string' || image === '')
  if (wrong >= 0) throw bad(`image ${wrong + 1} has no address`)
  const captionSet = newestFinished(document.captionSets)
  return {
    id: toIdText(document._id),
    name: typeof name === 'string' ? cut(name, longestName) : '',
    ownerAccountId: ownerAccountId.toHexString(),
    status: typeof status === 'string' ? cut(status, longestName) : 'unknown',
    visibility: typeof visibility === 'string' ? visibility : 'private',
    accessControl: listOf(accessControl).flatMap((each) =>
      each instanceof ObjectId ? [each.toHexString()] : [],
    ),
    images,
    captions: listOf(captionSet?.captions).map((caption) => (typeof caption === 'string' ? caption : '')),
    captionSetId: captionSet?._id instanceof ObjectId ? captionSet._id.toHexString() : undefined,
  }
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

function bad(detail: string): Failure {
  return new Failure('bad-dataset', detail)
}
