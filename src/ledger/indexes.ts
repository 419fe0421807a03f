import type { Db } from 'mongodb'
import { durable } from '../mongo.ts'

export async function createIndexes(db: Db): Promise<void> {
  await durable(db, 'pointsLedger').createIndex({ trainingId: 1 })
  await durable(db, 'trainingBudgets').createIndex({ 'open.key': 1 })
}
