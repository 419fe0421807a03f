/**
 * `trainingRuns` in MongoDB. Beside the run's own fields a document has `owner`, `token` and `expiresAt`
 * of its lease; released or never held: no `owner` and no `expiresAt`. `token` only ever grows. Every
 * write under a lease is one update that filters on id, owner and token, and expiry is compared with the
 * database's clock, so neither a slow worker nor a wrong clock can write for another.
 */
import type { Db, Document } from 'mongodb'
import { durable, fromNow, isDuplicateKey, literal } from '../mongo.ts'
import { type Attempt, type Lease, LeaseLost, phases, type Run, type Runs } from './runs.ts'

type RunDocument = Omit<Run, 'id'> & {
  readonly _id: string
  readonly token: number
  readonly owner?: string
  readonly expiresAt?: Date
}

export function mongoRuns(db: Db): Runs {
  const runs = durable<RunDocument>(db, 'trainingRuns')
  const free = { $expr: { $lte: [{ $ifNull: ['$expiresAt', '$$NOW'] }, '$$NOW'] } }

  async function take(trainingId: string, owner: string, ttlMs: number) {
    const document = await runs.findOneAndUpdate(
      { _id: trainingId, ...free },
      [{ $set: { owner: literal(owner), token: { $add: ['$token', 1] }, expiresAt: fromNow(ttlMs) } }],
      { returnDocument: 'after' },
    )
    return document && { lease: { trainingId, owner, token: document.token }, run: runFrom(document) }
  }

  /** True if there was none. */
  async function make(trainingId: string): Promise<boolean> {
    const fresh = {
      phase: literal('claimed'),
      attempts: [],
      startedAt: '$$NOW',
      phaseTimes: { claimed: '$$NOW' },
      token: 0,
    }
    try {
      const missing = { _id: trainingId, token: { $exists: false } }
      const { upsertedCount } = await runs.updateOne(missing, [{ $set: fresh }], { upsert: true })
      return upsertedCount === 1
    } catch (error) {
      if (isDuplicateKey(error)) return false
      throw error
    }
  }

  /** The document after the update, or undefined where the lease or `more` doesn't match. */
  async function update(
    lease: Lease,
    change: Document | Document[],
    more: Document = {},
  ): Promise<Run | undefined> {
    const document = await runs.findOneAndUpdate({ ...held(lease), ...more }, change, {
      returnDocument: 'after',
    })
    return document ? runFrom(document) : undefined
  }

  async function readHeld(lease: Lease): Promise<Run> {
    const document = await runs.findOne(held(lease))
    if (!document) throw new LeaseLost(lease)
    return runFrom(document)
  }

  return {
    async acquire(trainingId, owner, ttlMs) {
      const taken = await take(trainingId, owner, ttlMs)
      if (taken) return taken
      return (await make(trainingId)) ? ((await take(trainingId, owner, ttlMs)) ?? undefined) : undefined
    },
    async renew(lease, ttlMs) {
      const run = await update(lease, [{ $set: { expiresAt: fromNow(ttlMs) } }])
      if (!run) throw new LeaseLost(lease)
    },
    async release(lease) {
      await update(lease, { $unset: { owner: '', expiresAt: '' } })
    },
    async read(trainingId) {
      const document = await runs.findOne({ _id: trainingId })
      return document ? runFrom(document) : undefined
    },
    async now() {
      return (await db.command({ hello: 1 })).localTime as Date
    },
    async change(lease, { phase, outcome, event, ...fields }) {
      const set: Record<string, unknown> = {}
      for (const [name, value] of Object.entries(fields)) if (value !== undefined) set[name] = literal(value)
      if (outcome) set.outcome = { $ifNull: ['$outcome', literal(outcome)] }
      if (event) {
        const number = { $add: [{ $ifNull: ['$lastEvent.number', 0] }, 1] }
        set.lastEvent = { $mergeObjects: [literal(event), { number, at: '$$NOW' }] }
      }
      const stages: Document[] = [{ $set: { token: '$token', ...set } }]
      if (phase) {
        const rank = (value: unknown) => ({ $indexOfArray: [phases, value] })
        stages.push({
          $set: {
            phase: { $cond: [{ $gt: [rank(phase), rank('$phase')] }, phase, '$phase'] },
            phaseTimes: { $mergeObjects: [{ [phase]: '$$NOW' }, '$phaseTimes'] },
          },
        })
      }
      const run = await update(lease, stages)
      if (!run) throw new LeaseLost(lease)
      return run
    },
    async addAttempt(lease, attempt) {
      const absent = { 'attempts.number': { $ne: attempt.number } }
      return (await update(lease, { $push: { attempts: attempt } }, absent)) ?? (await readHeld(lease))
    },
    async changeAttempt(lease, number, change) {
      const set = Object.entries(change).flatMap(([name, value]) =>
        value === undefined ? [] : [[`attempts.$.${name}`, value]],
      )
      if (set.length === 0) return readHeld(lease)
      const run = await update(lease, { $set: Object.fromEntries(set) }, { 'attempts.number': number })
      if (run) return run
      await readHeld(lease)
      throw new Error(`training ${lease.trainingId} has no attempt ${number}`)
    },
    async unfinished(limit) {
      const documents = await runs
        .find({ endedAt: { $exists: false }, ...free }, { projection: { _id: 1 } })
        .sort({ startedAt: 1, _id: 1 })
        .limit(limit)
        .toArray()
      return documents.map(({ _id }) => _id)
    },
    async withMachines() {
      const documents = await runs
        .find({ attempts: { $elemMatch: { tornDownAt: { $exists: false } } } })
        .toArray()
      return documents.map(runFrom)
    },
    async trainedInOneGo(family, gpu, limit) {
      const documents = await runs
        .find({
          'outcome.ending': 'trained',
          'plan.family': family,
          'attempts.offer.gpu': gpu,
          attempts: { $size: 1 },
        })
        .sort({ startedAt: -1, _id: -1 })
        .limit(limit)
        .toArray()
      return documents.map(runFrom)
    },
    async recent(limit) {
      return (await runs.find().sort({ startedAt: -1, _id: -1 }).limit(limit).toArray()).map(runFrom)
    },
  }
}

function held({ trainingId, owner, token }: Lease) {
  return { _id: trainingId, owner, token }
}

function runFrom({ _id, token, owner, expiresAt, ...run }: RunDocument): Run {
  return { id: _id, ...run, attempts: run.attempts as readonly Attempt[] }
}
