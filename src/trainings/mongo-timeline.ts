/**
 * `trainingEvents` in MongoDB, append-only. A number is had by inserting it: of two writers with the same
 * next number the unique index (`trainingId`, `number`) lets one through, and the other takes the number
 * after it. A number is inserted only once its predecessor is there, so there are no gaps.
 */
import type { Db } from 'mongodb'
import { durable, isDuplicateKey } from '../mongo.ts'
import type { Timeline, TimelineEvent } from './timeline.ts'

export function mongoTimeline(db: Db): Timeline {
  const events = durable<TimelineEvent>(db, 'trainingEvents')

  async function lastNumber(trainingId: string): Promise<number> {
    const last = await events.findOne({ trainingId }, { sort: { number: -1 }, projection: { number: 1 } })
    return last?.number ?? 0
  }

  return {
    async append(newEvent) {
      for (;;) {
        const number = (await lastNumber(newEvent.trainingId)) + 1
        const event = { ...newEvent, number, at: new Date() }
        try {
          await events.insertOne({ ...event })
          return event
        } catch (error) {
          if (!isDuplicateKey(error)) throw error
        }
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
