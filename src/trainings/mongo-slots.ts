/**
 * Slots: how many jobs may be RUNNING at once, counted in one document of `trainingLimits`.
 *
 * A slot is taken before its job turns RUNNING, by one atomic write that checks both limits, so they hold
 * however many workers claim at once. A slot is in one of these states:
 *
 *     reserved (its job is QUEUED)   the next claim turns that job to RUNNING: a worker that died
 *                                    between the two writes leaves nothing to clean up
 *     used     (its job is RUNNING, or has a run that is not ended: a machine may still be billed for it)
 *     stale    (neither)             swept, when a limit is about to turn a job away
 *
 * Hence a slot is never freed while a job could still turn RUNNING on it.
 */
import type { Db, Document } from 'mongodb'
import { durable, isDuplicateKey, literal, toIdText } from '../mongo.ts'
import type { ClaimLimits, Pause } from './trainings.ts'

export type Slot = {
  /** The job's `_id`, as it is. */
  readonly job: unknown
  /** Jobs without an owner count under the system's limit only. */
  readonly owner: string | null
}

type LimitsDocument = {
  readonly _id: string
  readonly places: readonly Slot[]
  /** No new job is claimed while it stands. */
  readonly pause?: Pause
}

export type Slots = {
  taken(): Promise<{ readonly places: readonly Slot[]; readonly pause: Pause | undefined }>
  /** False if a limit is reached by now, or the job has a slot already. */
  acquireSlot(slot: Slot, limits: ClaimLimits): Promise<boolean>
  releaseSlot(job: unknown): Promise<void>
  /** Frees stale slots; returns how many. */
  sweep(slots: readonly Slot[]): Promise<number>
  pause(by: string): Promise<void>
  resume(): Promise<void>
}

/** `deployment`: slots of others in the same database are never seen. */
export function mongoSlots(db: Db, deployment: string): Slots {
  const limits = durable<LimitsDocument>(db, 'trainingLimits')
  const jobs = durable(db, 'trainingJobs')
  const runs = durable<{ _id: string }>(db, 'trainingRuns')

  async function releaseSlot(job: unknown): Promise<void> {
    await limits.updateOne({ _id: deployment }, { $pull: { places: { job } } } as Document)
  }

  return {
    releaseSlot,
    async taken() {
      const document = await limits.findOne({ _id: deployment })
      if (document) return { places: document.places, pause: document.pause }
      try {
        await limits.insertOne({ _id: deployment, places: [] })
      } catch (error) {
        if (!isDuplicateKey(error)) throw error
      }
      return { places: [], pause: undefined }
    },
    async pause(by) {
      await limits.updateOne(
        { _id: deployment },
        [
          {
            $set: {
              places: { $ifNull: ['$places', []] },
              pause: { $ifNull: ['$pause', { since: '$$NOW', by: literal(by) }] },
            },
          },
        ],
        { upsert: true },
      )
    },
    async resume() {
      await limits.updateOne({ _id: deployment }, { $unset: { pause: '' } })
    },
    async acquireSlot(slot, { running, runningPerOwner }) {
      const ofOwner = { $filter: { input: '$places', cond: { $eq: ['$$this.owner', literal(slot.owner)] } } }
      const room: Document[] = [{ $lt: [{ $size: '$places' }, running] }]
      if (slot.owner !== null) room.push({ $lt: [{ $size: ofOwner }, runningPerOwner] })
      const { modifiedCount } = await limits.updateOne(
        { _id: deployment, 'places.job': { $ne: slot.job }, $expr: { $and: room } } as Document,
        { $push: { places: slot } },
      )
      return modifiedCount === 1
    },
    async sweep(slots) {
      const ids = slots.map(({ job }) => job)
      const live = await jobs
        .find({ _id: { $in: ids }, status: { $in: ['QUEUED', 'RUNNING'] } } as Document, {
          projection: { _id: 1 },
        })
        .toArray()
      const liveIds = new Set(live.map(({ _id }) => toIdText(_id)))
      const ended = ids.filter((id) => !liveIds.has(toIdText(id)))
      const unfinished = await runs
        .find({ _id: { $in: ended.map(toIdText) }, endedAt: { $exists: false } }, { projection: { _id: 1 } })
        .toArray()
      const unfinishedIds = new Set(unfinished.map(({ _id }) => _id))
      const stale = ended.filter((id) => !unfinishedIds.has(toIdText(id)))
      for (const id of stale) await releaseSlot(id)
      return stale.length
    },
  }
}
