/** `trainingEvents` in MongoDB, append-only. The unique index (`trainingId`, `number`) keeps the first of two. */
import type { Db } from 'mongodb'
import { durable, isDuplicateKey } from '../mongo.ts'
import type { Timeline, TimelineEvent } from './timeline.ts'

export function mongoTimeline(db: Db): Timeline {
  const events = durable<TimelineEvent>(db, 'trainingEvents')
  return {
    async append(event) {
      try {
        await events.insertOne({ ...event })
      } catch (error) {
        if (!isDuplicateKey(error)) throw error
      }
    },
    async read(trainingId, afterNumber = 0) {
      return events
        .find({ trainingId, number: { $gt: afterNumber } }, { projection: { _id: 0 } })
        .sort({ number: 1 })
        .toArray()
    },
  }
}
