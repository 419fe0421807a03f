import type { Db } from 'mongodb'
import { durable } from '../mongo.ts'

/** A refused order has cost nothing: its row matters only while a worker's call may still be late. */
const keepNothingSeconds = 24 * 60 * 60

export async function createIndexes(db: Db): Promise<void> {
  await durable(db, 'pointsLedger').createIndex({ trainingId: 1 })
  await durable(db, 'trainingCosts').createIndex(
    { settledAt: 1 },
    { expireAfterSeconds: keepNothingSeconds, partialFilterExpression: { micros: 0 } },
  )
  await durable(db, 'trainingBudgets').createIndex({ 'open.key': 1 })
}
