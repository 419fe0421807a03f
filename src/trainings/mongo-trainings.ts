/**
 * `trainingJobs` in MongoDB. Claiming is two atomic writes: a slot under the limits (mongo-slots.ts),
 * then QUEUED → RUNNING, which only one claimer can win. A worker may die between the two.
 */
import { type Db, type Document, ObjectId } from 'mongodb'
import { byId, durable, fromIdText, objectId, toIdText } from '../mongo.ts'
import { mongoSlots, type Slot } from './mongo-slots.ts'
import {
  clampPercent,
  notUnderstood,
  ownerOf,
  statuses,
  statusOf,
  trainingFrom,
} from './training-document.ts'
import type { ClaimLimits, Training, TrainingResult, Trainings } from './trainings.ts'

export type TrainingsOptions = {
  /** Whose slots these are. */
  readonly deployment: string
  /** Claim only documents of this environment, and those that name none. Default: all. */
  readonly environment?: 'development' | 'production'
  /** Write `currentStep`, `totalSteps` and `currentLoss`. Default true. */
  readonly writeStepFields?: boolean
}

const oldestFirst = { createdAt: 1, _id: 1 } as const

/** Ids that can be named anywhere; a document with another is never claimed. */
const usableId = { $type: ['objectId', 'string'] }

export function mongoTrainings(db: Db, options: TrainingsOptions): Trainings {
  const { deployment, environment, writeStepFields = true } = options
  const jobs = durable(db, 'trainingJobs')
  const runs = durable<{ _id: string }>(db, 'trainingRuns')
  const slots = mongoSlots(db, deployment)
  const ours = environment ? { environment: { $in: [environment, null] } } : {}

  /** Of several claimers exactly one gets the document. */
  async function startOne(filter: Document): Promise<Training | undefined> {
    const document = await jobs.findOneAndUpdate(
      { ...filter, status: 'QUEUED' },
      {
        $set: { status: 'RUNNING' },
        $max: { progress: 0 },
        $currentDate: { startedAt: true, updatedAt: true },
      },
      { sort: oldestFirst, returnDocument: 'after' },
    )
    return document ? trainingFrom(document) : undefined
  }

  function oldestWithRoom(
    taken: readonly Slot[],
    limits: ClaimLimits,
    except: readonly unknown[],
  ): Promise<Document | null> {
    const full = fullOwners(taken, limits.runningPerOwner)
    return jobs.findOne(
      {
        ...ours,
        status: 'QUEUED',
        ownerAccountId: { $nin: full },
        _id: { ...usableId, $nin: [...taken.map(({ job }) => job), ...except] },
      } as Document,
      { sort: oldestFirst, projection: { ownerAccountId: 1 } },
    )
  }

  async function claim(limits: ClaimLimits, except: readonly string[] = []): Promise<Training | undefined> {
    const left = except.map(fromIdText)
    for (;;) {
      const { places: taken, pause } = await slots.taken()
      if (pause) return undefined
      if (taken.length > 0) {
        const reserved = await startOne({ _id: { $in: taken.map(({ job }) => job) } })
        if (reserved) return reserved
      }
      const crowded = taken.length >= limits.running || fullOwners(taken, limits.runningPerOwner).length > 0
      if (crowded && (await slots.sweep(taken)) > 0) continue
      if (taken.length >= limits.running) return undefined
      const candidate = await oldestWithRoom(taken, limits, left)
      if (!candidate) return undefined
      const slot = { job: candidate._id, owner: ownerOf(candidate) ?? null }
      if (!(await slots.acquireSlot(slot, limits))) continue // another claimer was quicker: look again
      const training = await startOne({ _id: candidate._id })
      if (training) return training
    }
  }

  /** A write that a user's `CANCELLED` wins over. */
  async function whileRunning(id: string, set: Document, dates: Document = {}): Promise<void> {
    await jobs.updateOne(
      { ...byId(id), status: 'RUNNING' },
      { $set: set, $currentDate: { updatedAt: true, ...dates } },
    )
  }

  const resultOf = ({ modelId, ...fields }: TrainingResult) => ({ ...fields, loraModelId: objectId(modelId) })

  /** Whatever status people have set: it stays. */
  async function whileEnded(id: string, filter: Document, set: Document): Promise<void> {
    await jobs.updateOne(
      { ...byId(id), status: { $nin: ['QUEUED', 'RUNNING'] }, ...filter },
      { $set: set, $currentDate: { updatedAt: true } },
    )
  }

  return {
    claim,
    async read(id) {
      const document = await jobs.findOne(byId(id))
      return document ? trainingFrom(document) : undefined
    },
    async statuses(ids) {
      const found = await jobs
        .find({ _id: { $in: ids.map(fromIdText) } } as Document, { projection: { status: 1 } })
        .toArray()
      return new Map(found.map(({ _id, status }) => [toIdText(_id), statusOf(status)]))
    },
    pause: slots.pause,
    resume: slots.resume,
    paused: async () => (await slots.taken()).pause,
    async strangers(limit) {
      const { places: taken } = await slots.taken()
      const running = await jobs
        .find(
          { ...ours, status: 'RUNNING', _id: { ...usableId, $nin: taken.map(({ job }) => job) } } as Document,
          {
            projection: { _id: 1 },
          },
        )
        .sort(oldestFirst)
        .limit(limit)
        .toArray()
      return running.map(({ _id }) => toIdText(_id))
    },
    async notUnderstood() {
      const strange = {
        ...ours,
        $or: [
          { status: { $nin: statuses } },
          { status: { $in: ['QUEUED', 'RUNNING'] }, _id: { $not: usableId } },
        ],
      } as Document
      const [count, found] = await Promise.all([
        jobs.countDocuments(strange, { limit: 1000 }),
        jobs
          .find(strange, { projection: { status: 1 } })
          .limit(5)
          .toArray(),
      ])
      return { count, examples: found.map(notUnderstood) }
    },
    async orphans(limit) {
      const { places: taken } = await slots.taken()
      const running = await jobs
        .find({ _id: { $in: taken.map(({ job }) => job) }, status: 'RUNNING' } as Document, {
          projection: { _id: 1 },
        })
        .sort(oldestFirst)
        .toArray()
      const ids = running.map(({ _id }) => toIdText(_id))
      const held = await runs
        .find({ _id: { $in: ids }, $expr: { $gt: ['$expiresAt', '$$NOW'] } }, { projection: { _id: 1 } })
        .toArray()
      const heldIds = new Set(held.map(({ _id }) => _id))
      return ids.filter((id) => !heldIds.has(id)).slice(0, limit)
    },
    recordCharge: (id, points, at) => whileRunning(id, { costPoints: points, paidAt: at }),
    async recordProgress(id, { progress, step, totalSteps, loss }) {
      const steps = { currentStep: step, totalSteps, ...(loss !== undefined && { currentLoss: loss }) }
      await whileRunning(id, { progress: clampPercent(progress), ...(writeStepFields && steps) })
    },
    async complete(id, result, remark) {
      await whileRunning(
        id,
        {
          status: 'COMPLETED',
          progress: 100,
          ...resultOf(result),
          ...(remark && { failureReason: remark }),
        },
        { completedAt: true },
      )
    },
    async restore(id, { status, remark, endedAt, result }) {
      const model = result && { ...resultOf(result), progress: 100, completedAt: endedAt }
      await whileRunning(id, { ...model, status, failureReason: remark })
    },
    explain: (id, sentence) =>
      whileEnded(id, { failureReason: { $in: [null, ''] } }, { failureReason: sentence }),
    deliver: (id, result, remark) =>
      whileEnded(
        id,
        { loraModelId: { $ne: objectId(result.modelId) } },
        { ...resultOf(result), failureReason: remark },
      ),
    fail: (id, sentence) => whileRunning(id, { status: 'FAILED', failureReason: sentence }),
    async releaseSlot(id) {
      await slots.releaseSlot(fromIdText(id)) // first: once it is queued again, no slot may be about to go
      await whileRunning(id, { status: 'QUEUED' })
    },
    async counts() {
      const groups = await jobs.aggregate([{ $group: { _id: '$status', count: { $sum: 1 } } }]).toArray()
      const counts = new Map(groups.map(({ _id, count }) => [_id, Number(count)]))
      return Object.fromEntries(statuses.map((status) => [status, counts.get(status) ?? 0])) as never
    },
  }
}

/** Owners with no room left, in both forms that a document may carry them in. */
function fullOwners(slots: readonly Slot[], limit: number): unknown[] {
  const byOwner = Map.groupBy(slots, ({ owner }) => owner)
  const full = [...byOwner].flatMap(([owner, { length }]) =>
    owner !== null && length >= limit ? [owner] : [],
  )
  return full.flatMap((owner) =>
    ObjectId.isValid(owner) && owner.length === 24 ? [owner, objectId(owner.toLowerCase())] : [owner],
  )
}
