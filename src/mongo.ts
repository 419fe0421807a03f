/** What every MongoDB adapter needs: durable collections, and ids that are plain text outside. */
import { BSON, type Collection, type Db, type Document, MongoServerError, ObjectId } from 'mongodb'

/**
 * A collection whose acknowledged writes survive the primary and a power cut. Text that is not valid
 * UTF-8 is read as it is: one such document must not stop the others.
 */
export function durable<T extends Document>(db: Db, name: string): Collection<T> {
  return db.collection<T>(name, {
    writeConcern: { w: 'majority', journal: true },
    readPreference: 'primary',
    enableUtf8Validation: false,
    ignoreUndefined: true,
  })
}

const hexId = /^[0-9a-f]{24}$/

/**
 * An `_id` as text: an ObjectId as its 24 hex digits, other text as it is, and any other value that a client
 * has put there as extended JSON, so that even such a document can be named. `fromIdText` undoes it.
 */
export function toIdText(id: unknown): string {
  if (id instanceof ObjectId) return id.toHexString()
  if (typeof id === 'string' && !hexId.test(id) && !id.startsWith('{')) return id
  try {
    return BSON.EJSON.stringify({ id }, { relaxed: false })
  } catch {
    return '{"id":"none that can be written"}' // an object that calls itself a type of BSON
  }
}

/** The `_id` in the database for a text that `toIdText` made. */
export function fromIdText(text: string): unknown {
  if (hexId.test(text)) return ObjectId.createFromHexString(text)
  if (!text.startsWith('{')) return text
  try {
    return (BSON.EJSON.parse(text, { relaxed: false }) as { id: unknown }).id
  } catch {
    return text
  }
}

/** A filter by `_id` for collections whose documents may carry any type there. */
export function byId(text: string): { _id: never } {
  return { _id: fromIdText(text) as never }
}

/** An ObjectId for a field that must be one; throws if the text is none. */
export function objectId(text: string): ObjectId {
  if (!hexId.test(text)) throw new Error(`"${text}" is not an ObjectId: 24 hex digits are wanted`)
  return ObjectId.createFromHexString(text)
}

export function isDuplicateKey(error: unknown): boolean {
  return error instanceof MongoServerError && error.code === 11000
}

/** Of writers that meet, one inserts. */
export async function ignoringDuplicates(write: Promise<unknown>): Promise<void> {
  await write.catch((error: unknown) => {
    if (!isDuplicateKey(error)) throw error
  })
}

/** Keeps a value from being read as an expression where it stands in an update pipeline. */
export function literal(value: unknown): Document {
  return { $literal: value }
}

/** A time of the database's clock, for update pipelines. */
export function fromNow(milliseconds: number): Document {
  return { $dateAdd: { startDate: '$$NOW', unit: 'millisecond', amount: milliseconds } }
}
