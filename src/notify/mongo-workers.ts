/** Workers in the collection `workers`, one document each; all times but `startedAt` are the database's. */
import type { Db } from 'mongodb'
import { durable, literal } from '../mongo.ts'
import type { WorkerPresence, Workers } from './workers.ts'

type WorkerDocument = {
  readonly _id: string
  readonly startedAt: Date
  readonly seenAt: Date
  /** Between the last two beats. */
  readonly silentMs: number
}

const sinceSeen = {
  $dateDiff: { startDate: { $ifNull: ['$seenAt', '$$NOW'] }, endDate: '$$NOW', unit: 'millisecond' },
}

export function mongoWorkers(db: Db): Workers {
  const workers = durable<WorkerDocument>(db, 'workers')

  return {
    async beat({ name, startedAt }) {
      const seen = { startedAt: literal(startedAt), silentMs: sinceSeen, seenAt: '$$NOW' }
      const document = await workers.findOneAndUpdate({ _id: name }, [{ $set: seen }], {
        upsert: true,
        returnDocument: 'after',
      })
      return document?.silentMs ?? 0
    },
    async leave(name) {
      await workers.deleteOne({ _id: name })
    },
    async all() {
      const stages = [{ $set: { silentMs: sinceSeen } }, { $sort: { _id: 1 } }]
      const documents = await workers.aggregate<WorkerDocument>(stages).toArray()
      return documents.map(
        ({ _id: name, startedAt, seenAt, silentMs }): WorkerPresence => ({
          name,
          startedAt,
          seenAt,
          silentMs,
        }),
      )
    },
    async forget({ name, seenAt }) {
      await workers.deleteOne({ _id: name, seenAt })
    },
  }
}
