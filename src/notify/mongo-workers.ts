/** A deployment's workers in the collection `workers`, one document each; all times but `startedAt` are the database's. */
import type { Db } from 'mongodb'
import { durable, literal } from '../mongo.ts'
import type { WorkerPresence, Workers } from './workers.ts'

type WorkerDocument = {
  /** `<deployment>/<name>`. */
  readonly _id: string
  readonly deployment: string
  readonly startedAt: Date
  readonly seenAt: Date
  /** Between the last two beats. */
  readonly silentMs: number
}

const sinceSeen = {
  $dateDiff: { startDate: { $ifNull: ['$seenAt', '$$NOW'] }, endDate: '$$NOW', unit: 'millisecond' },
}

export function mongoWorkers(db: Db, deployment: string): Workers {
  const idOf = (name: string) => `${deployment}/${name}`
  const workers = durable<WorkerDocument>(db, 'workers')

  return {
    async heartbeat({ name, startedAt }) {
      const seen = { startedAt: literal(startedAt), silentMs: sinceSeen, seenAt: '$$NOW' }
      const document = await workers.findOneAndUpdate({ _id: idOf(name), deployment }, [{ $set: seen }], {
        upsert: true,
        returnDocument: 'after',
      })
      return document?.silentMs ?? 0
    },
    async leave(name) {
      await workers.deleteOne({ _id: idOf(name) })
    },
    async all() {
      const stages = [{ $match: { deployment } }, { $set: { silentMs: sinceSeen } }, { $sort: { _id: 1 } }]
      const documents = await workers.aggregate<WorkerDocument>(stages).toArray()
      return documents.map(
        ({ _id, startedAt, seenAt, silentMs }): WorkerPresence => ({
          name: _id.slice(deployment.length + 1),
          startedAt,
          seenAt,
          silentMs,
        }),
      )
    },
    async forget({ name, seenAt }) {
      await workers.deleteOne({ _id: idOf(name), seenAt })
    },
  }
}
