import { type Db, MongoServerError } from 'mongodb'
import { durable } from '../mongo.ts'

/** Codes for: the same index exists under another name or with other options; values clash. */
const notOurs = new Set<unknown>([85, 86, 11000])

/**
 * The slug's uniqueness belongs to the existing system: made where the collection is new, and left as it
 * is where there is an index or data that refuse it.
 */
export async function createIndexes(db: Db): Promise<void> {
  try {
    await durable(db, 'loraModels').createIndex({ slug: 1 }, { unique: true })
  } catch (error) {
    if (!(error instanceof MongoServerError && notOurs.has(error.code))) throw error
  }
  await durable(db, 'comfyuiFiles').createIndex({ publishedAt: 1 })
}
