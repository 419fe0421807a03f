/** `Records` in MongoDB. Each verb may be repeated. */
import { type Db, type Document, ObjectId } from 'mongodb'
import { modelIdFor } from '../models/slug.ts'
import { byId, durable, objectId, toIdText } from '../mongo.ts'
import { type Attempt, type Lease, LeaseLost, type Outcome } from '../trainings/runs.ts'
import { alertsNaming } from './mongo-alert-texts.ts'
import { mongoExpiry } from './mongo-expiry.ts'
import type { Records, Trace } from './records.ts'

/** What Bellows has written into a training's document that leads to a model or tells of it. */
const written = ['modelRepoUrl', 'loraModelId', 'previewImages', 'triggerWords', 'failureReason'] as const

/** Of a run: what accounting and the next run need. */
const numbers = [
  '_id',
  'deployment',
  'number',
  'phase',
  'startedAt',
  'endedAt',
  'phaseTimes',
  'toldAt',
  'chargedPoints',
  'capUsd',
  'lastStep',
  'token',
  'owner',
  'expiresAt',
] as const
const machineNumbers = [
  'number',
  'run',
  'name',
  'offer',
  'orderedAt',
  'deadline',
  'reservedUsd',
  'instanceId',
  'readyAt',
  'tornDownAt',
  'costUsd',
] as const

export function mongoRecords(db: Db, deployment: string): Records {
  const runs = durable<RunDocument>(db, 'trainingRuns')
  const jobs = durable(db, 'trainingJobs')
  const held = ({ trainingId, owner, token }: Lease) => ({ _id: trainingId, owner, token })

  return {
    async trainingsOf(accountId) {
      const owned = await jobs.find({ ownerAccountId: { $in: idForms(accountId) } }, onlyId).toArray()
      const agreed = await runs.find({ deployment, 'terms.ownerAccountId': accountId }, onlyId).toArray()
      const ids = [...owned.map(({ _id }) => toIdText(_id)), ...agreed.map(({ _id }) => String(_id))] // a run's is text
      return [...new Set(ids)].sort()
    },
    async statusOf(trainingId) {
      const document = await jobs.findOne(byId(trainingId), { projection: { status: 1 } })
      return document ? String(document.status) : undefined
    },
    tracesOf(trainingId) {
      const events = durable(db, 'trainingEvents')
      const files = durable(db, 'comfyuiFiles')
      const models = durable(db, 'loraModels')
      const modelId = modelIdFor(trainingId)
      const told = {
        ...byId(trainingId),
        $or: written.map((name) => ({ [name]: { $exists: true } })),
      } as Document
      return [
        {
          name: "files in ComfyUI's list",
          count: () => files.countDocuments({ modelId }),
          remove: async () => void (await files.deleteMany({ modelId })),
        },
        {
          name: 'models in the gallery',
          count: () => models.countDocuments({ _id: objectId(modelId) }),
          remove: async () => void (await models.deleteOne({ _id: objectId(modelId) })),
        },
        {
          name: 'events',
          count: () => events.countDocuments({ trainingId }),
          remove: async () => void (await events.deleteMany({ trainingId })),
        },
        alertsNaming(db, trainingId, 'a forgotten training'),
        {
          name: 'documents with results',
          count: () => jobs.countDocuments(told),
          remove: async () =>
            void (await jobs.updateOne(told, {
              $unset: Object.fromEntries(written.map((name) => [name, ''])),
            })),
        },
      ]
    },
    tracesOfAccount(accountId) {
      const trainedOn = { deployment, 'terms.creatorAccountId': accountId, endedAt: { $exists: true } }
      const runsOfOthers: Trace = {
        name: 'runs of others on its datasets',
        count: () => runs.countDocuments(trainedOn),
        remove: async () =>
          void (await runs.updateMany(trainedOn, { $unset: { 'terms.creatorAccountId': '' } })),
      }
      return [runsOfOthers, alertsNaming(db, accountId, 'a forgotten account')]
    },
    async scrubRun(lease) {
      const run = await runs.findOne(held(lease))
      if (!run) throw new LeaseLost(lease)
      const { matchedCount } = await runs.replaceOne(held(lease), scrubbed(run) as RunDocument)
      if (matchedCount === 0) throw new LeaseLost(lease)
    },
    ...mongoExpiry(db, deployment),
  }
}

const onlyId = { projection: { _id: 1 } }

type RunDocument = {
  readonly _id: string
  readonly attempts: readonly Attempt[]
  readonly outcome?: Outcome
  readonly earlier?: readonly { readonly outcome?: Outcome }[]
} & Document

/** Documents may name an account by its ObjectId or by text. */
function idForms(id: string): readonly unknown[] {
  return /^[0-9a-f]{24}$/.test(id) ? [id, ObjectId.createFromHexString(id)] : [id]
}

function scrubbed(run: RunDocument): Document {
  const earlier = run.earlier?.map((each) => ({ ...each, ...endingOf(each.outcome) }))
  return {
    ...picked(run, numbers),
    attempts: run.attempts.map((attempt) => picked(attempt, machineNumbers)),
    ...endingOf(run.outcome),
    ...(earlier && { earlier }),
  }
}

function endingOf(outcome: Outcome | undefined): { readonly outcome?: Outcome } {
  if (!outcome) return {}
  const { ending, refundPoints, decidedAt } = outcome
  return { outcome: { ending, refundPoints, decidedAt, sentence: 'This training has been forgotten.' } }
}

function picked(from: Document, names: readonly string[]): Document {
  return Object.fromEntries(names.flatMap((name) => (from[name] === undefined ? [] : [[name, from[name]]])))
}
