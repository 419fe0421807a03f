import type { Db } from 'mongodb'
import { durable } from '../mongo.ts'

/**
 * The queue's order, the timeline's uniqueness and the lists that are looked at every few seconds. On the
 * existing collection only an index is added, no field.
 */
export async function createIndexes(db: Db): Promise<void> {
  await durable(db, 'trainingJobs').createIndex({ status: 1, createdAt: 1, _id: 1 })
  await durable(db, 'trainingRuns').createIndex({ deployment: 1, startedAt: 1 })
  await durable(db, 'trainingRuns').createIndex({ deployment: 1, endedAt: 1, startedAt: 1 })
  await durable(db, 'trainingRuns').createIndex({ 'terms.ownerAccountId': 1, endedAt: -1 })
  await durable(db, 'trainingRuns').createIndex({ 'attempts.tornDownAt': 1 })
  await durable(db, 'trainingRuns').createIndex({
    'outcome.ending': 1,
    'plan.family': 1,
    'attempts.offer.gpu': 1,
    startedAt: -1,
  })
  await durable(db, 'trainingEvents').createIndex({ trainingId: 1, number: 1 }, { unique: true })
}
