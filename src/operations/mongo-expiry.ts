/**
 * What time removes, in MongoDB. A run that has been swept of something says so in `removed`, which its training's next
 * run does not inherit.
 */
import type { Db, Document } from 'mongodb'
import { durable } from '../mongo.ts'
import { type Lease, LeaseLost } from '../trainings/runs.ts'
import type { Kept, Records } from './records.ts'

const evidence = ['evidence', 'causes', 'stack'] as const
const kinds: readonly Kept[] = ['events', 'evidence', 'leftovers']

type Expiry = Pick<Records, 'expired' | 'removeEvents' | 'removeEvidence' | 'markRemoved'>

export function mongoExpiry(db: Db, deployment: string): Expiry {
  const runs = durable<{ readonly _id: string } & Document>(db, 'trainingRuns')
  const events = durable(db, 'trainingEvents')

  async function update({ trainingId, owner, token }: Lease, change: Document): Promise<void> {
    const { matchedCount } = await runs.updateOne({ _id: trainingId, owner, token }, change)
    if (matchedCount === 0) throw new LeaseLost({ trainingId, owner, token })
  }

  return {
    async expired(kept, before, limit) {
      const found = await runs
        .find({ deployment, [`removed.${kept}`]: null, endedAt: { $lt: before } }, { projection: { _id: 1 } })
        .sort({ endedAt: 1, _id: 1 })
        .limit(limit)
        .toArray()
      return found.map(({ _id }) => _id)
    },
    async removeEvents(lease) {
      await update(lease, { $unset: { lastEvent: '' } })
      await events.deleteMany({ trainingId: lease.trainingId })
    },
    async removeEvidence(lease) {
      const without = (path: string) =>
        ({ $unset: Object.fromEntries(evidence.map((name) => [`${path}.${name}`, ''])) }) as Document
      await update(lease, without('lastEvent.data'))
      await events.updateMany(
        { trainingId: lease.trainingId, 'data.reason': { $exists: true } },
        without('data'),
      )
    },
    markRemoved: (lease, kept) => update(lease, { $set: { [`removed.${kept}`]: true } }),
  }
}

export async function createIndexes(db: Db): Promise<void> {
  const runs = durable(db, 'trainingRuns')
  for (const kept of kinds) await runs.createIndex({ deployment: 1, [`removed.${kept}`]: 1, endedAt: 1 })
}
