/**
 * `trainingJobs` in MongoDB. Claiming is two atomic writes: a place under the limits (mongo-places.ts),
 * then QUEUED → RUNNING, which only one claimer can win. Everybody may die between the two.
 */
import { type Db, type Document, ObjectId } from 'mongodb'
import { byId, durable, objectId, toIdText } from '../mongo.ts'
import { mongoPlaces, type Place } from './mongo-places.ts'
import { clampPercent, ownerOf, statuses, trainingFrom } from './training-document.ts'
import type { ClaimLimits, Training, Trainings } from './trainings.ts'

export type TrainingsOptions = {
  /** Claim only documents of this environment, and those that name none. Default: all. */
  readonly environment?: 'development' | 'production'
  /** Write `currentStep`, `totalSteps` and `currentLoss`. Default true. */
  readonly writeStepFields?: boolean
}

const oldestFirst = { createdAt: 1, _id: 1 } as const

export function mongoTrainings(db: Db, options: TrainingsOptions = {}): Trainings {
  const { environment, writeStepFields = true } = options
  const jobs = durable(db, 'trainingJobs')
  const runs = durable<{ _id: string }>(db, 'trainingRuns')
  const places = mongoPlaces(db, environment ?? 'all')
  const ours = environment ? { environment: { $in: [environment, null] } } : {}

  /** Of several claimers exactly one gets the document. */
  async function startOne(filter: Document): Promise<Training | undefined> {
    const document = await jobs.findOneAndUpdate(
      { ...filter, status: 'QUEUED' },
      { $set: { status: 'RUNNING' }, $currentDate: { startedAt: true, updatedAt: true } },
      { sort: oldestFirst, returnDocument: 'after' },
    )
    return document ? trainingFrom(document) : undefined
  }

  function oldestWithRoom(taken: readonly Place[], limits: ClaimLimits): Promise<Document | null> {
    const full = fullOwners(taken, limits.runningPerOwner)
    return jobs.findOne(
      {
        ...ours,
        status: 'QUEUED',
        ownerAccountId: { $nin: full },
        _id: { $nin: taken.map(({ job }) => job) },
      } as Document,
      { sort: oldestFirst, projection: { ownerAccountId: 1 } },
    )
  }

  async function claim(limits: ClaimLimits): Promise<Training | undefined> {
    for (;;) {
      const taken = await places.taken()
      if (taken.length > 0) {
        const reserved = await startOne({ _id: { $in: taken.map(({ job }) => job) } })
        if (reserved) return reserved
      }
      const crowded = taken.length >= limits.running || fullOwners(taken, limits.runningPerOwner).length > 0
      if (crowded && (await places.sweep(taken)) > 0) continue
      if (taken.length >= limits.running) return undefined
      const candidate = await oldestWithRoom(taken, limits)
      if (!candidate) return undefined
      const place = { job: candidate._id, owner: ownerOf(candidate) ?? null }
      if (!(await places.take(place, limits))) continue // another claimer was quicker: look again
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

  return {
    claim,
    async read(id) {
      const document = await jobs.findOne(byId(id))
      return document ? trainingFrom(document) : undefined
    },
    async orphans(limit) {
      const running = await jobs
        .find({ ...ours, status: 'RUNNING' }, { projection: { _id: 1 } })
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
    async complete(id, { modelId, modelRepoUrl, triggerWords, previewImages }, remark) {
      await whileRunning(
        id,
        {
          status: 'COMPLETED',
          progress: 100,
          loraModelId: objectId(modelId),
          modelRepoUrl,
          triggerWords,
          previewImages,
          ...(remark && { failureReason: remark }),
        },
        { completedAt: true },
      )
    },
    fail: (id, sentence) => whileRunning(id, { status: 'FAILED', failureReason: sentence }),
    freePlace: (id) => places.free(byId(id)._id),
    async counts() {
      const groups = await jobs.aggregate([{ $group: { _id: '$status', count: { $sum: 1 } } }]).toArray()
      const counts = new Map(groups.map(({ _id, count }) => [_id, Number(count)]))
      return Object.fromEntries(statuses.map((status) => [status, counts.get(status) ?? 0])) as never
    },
  }
}

/** Owners with no room left, in both forms that a document may carry them in. */
function fullOwners(places: readonly Place[], limit: number): unknown[] {
  const byOwner = Map.groupBy(places, ({ owner }) => owner)
  const full = [...byOwner].flatMap(([owner, { length }]) =>
    owner !== null && length >= limit ? [owner] : [],
  )
  return full.flatMap((owner) =>
    ObjectId.isValid(owner) && owner.length === 24 ? [owner, objectId(owner.toLowerCase())] : [owner],
  )
}
