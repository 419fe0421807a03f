/**
 * `trainingRuns` in MongoDB. Beside the run's own fields a document has `owner`, `token` and `expiresAt`
 * of its lease; released or never held: no `owner` and no `expiresAt`. `token` only ever grows. Every
 * write under a lease is one update that filters on id, owner and token, and expiry is compared with the
 * database's clock, so neither a slow worker nor a wrong clock can write for another.
 *
 * `attempts` holds the machines of all runs of a training, each with the number of its run (`run`).
 */
import type { Db, Document } from 'mongodb'
import { durable, fromNow, isDuplicateKey, literal } from '../mongo.ts'
import { type Attempt, type EarlierRun, type Lease, LeaseLost, phases, type Run, type Runs } from './runs.ts'
import type { NewTimelineEvent } from './timeline.ts'

type StoredAttempt = Attempt & { readonly run: number }

type RunDocument = Omit<Run, 'id' | 'attempts' | 'earlierAttempts'> & {
  readonly _id: string
  readonly attempts: readonly StoredAttempt[]
  readonly token: number
  readonly owner?: string
  readonly expiresAt?: Date
  /** 0.1.0's name of `finishedEarly`. */
  readonly cutShort?: boolean
}

/** What is kept of a run that has ended when the next begins. */
const kept = [
  'number',
  'startedAt',
  'endedAt',
  'phase',
  'outcome',
  'chargedPoints',
] as const satisfies readonly (keyof EarlierRun)[]

/** What goes on over the runs of a training. */
const keptForNext = [
  '_id',
  'deployment',
  'attempts',
  'forgottenUpTo',
  'lastEvent',
  'token',
  'owner',
  'expiresAt',
] as const

/** `deployment`: whose runs these are; those of others are only read, by their ids. */
export function mongoRuns(db: Db, deployment: string): Runs {
  const runs = durable<RunDocument>(db, 'trainingRuns')
  const ours = { deployment }
  const free = { $expr: { $lte: [{ $ifNull: ['$expiresAt', '$$NOW'] }, '$$NOW'] } }

  async function take(trainingId: string, owner: string, ttlMs: number) {
    const crashes = { $add: [{ $ifNull: ['$crashes', 0] }, { $cond: [{ $gt: ['$owner', null] }, 1, 0] }] }
    const document = await runs.findOneAndUpdate(
      { _id: trainingId, ...ours, ...free },
      [
        {
          $set: {
            owner: literal(owner),
            token: { $add: ['$token', 1] },
            expiresAt: fromNow(ttlMs),
            crashes,
          },
        },
      ],
      { returnDocument: 'after' },
    )
    return document && { lease: { trainingId, owner, token: document.token }, run: runFrom(document) }
  }

  /** True if there was none. */
  async function make(trainingId: string): Promise<boolean> {
    const fresh = {
      number: 1,
      deployment: literal(deployment),
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

  /** Whether a lease is live is for the database's clock to say. */
  async function withHolders(stages: readonly Document[]): Promise<readonly Run[]> {
    const heldBy = { $cond: [{ $gt: ['$expiresAt', '$$NOW'] }, '$owner', '$$REMOVE'] }
    return (await runs.aggregate<RunDocument>([...stages, { $set: { heldBy } }]).toArray()).map(runFrom)
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
      const [run] = await withHolders([{ $match: { _id: trainingId } }])
      return run
    },
    async now() {
      return (await db.command({ hello: 1 })).localTime as Date
    },
    async change(lease, { phase, outcome, event, hold, lastStep, ...fields }) {
      const set: Record<string, unknown> = {}
      const rank = (value: unknown) => ({ $indexOfArray: [phases, value] })
      const isFurther = phase ? { $gt: [rank(phase), rank('$phase')] } : false
      const isOnward = lastStep === undefined ? false : { $gt: [lastStep, { $ifNull: ['$lastStep', 0] }] }
      if (phase || lastStep !== undefined) {
        const progress = { $or: [isFurther, isOnward] }
        set.faults = { $cond: [progress, literal({}), '$faults'] }
        set.crashes = { $cond: [progress, 0, '$crashes'] }
        set.heldSince = { $cond: [progress, '$$REMOVE', '$heldSince'] }
        set.waiting = { $cond: [progress, '$$REMOVE', '$waiting'] }
      }
      for (const [name, value] of Object.entries(fields)) if (value !== undefined) set[name] = literal(value)
      if (hold) set.hold = literal(hold)
      if (lastStep !== undefined) set.lastStep = { $max: [lastStep, { $ifNull: ['$lastStep', 0] }] }
      if (outcome) set.outcome = { $ifNull: ['$outcome', literal(outcome)] }
      Object.assign(set, lastEvent(event))
      const stages: Document[] = [{ $set: { token: '$token', ...set } }]
      if (hold === null) stages.push({ $unset: 'hold' })
      if (phase) {
        stages.push({
          $set: {
            phase: { $cond: [isFurther, phase, '$phase'] },
            phaseTimes: { $mergeObjects: [{ [phase]: '$$NOW' }, '$phaseTimes'] },
          },
        })
      }
      const run = await update(lease, stages)
      if (!run) throw new LeaseLost(lease)
      return run
    },
    async restart(lease) {
      const run = await readHeld(lease)
      if (!run.endedAt) return run
      const ended = Object.fromEntries(
        kept.flatMap((name) => (run[name] === undefined ? [] : [[name, run[name]]])),
      )
      const next = {
        ...Object.fromEntries(keptForNext.map((name) => [name, `$${name}`])),
        number: { $add: ['$number', 1] },
        earlier: { $concatArrays: [{ $ifNull: ['$earlier', []] }, [literal(ended)]] },
        phase: literal('claimed'),
        startedAt: '$$NOW',
        phaseTimes: { claimed: '$$NOW' },
        crashes: 0,
      }
      const unchanged = { number: run.number, endedAt: { $exists: true } }
      return (await update(lease, [{ $replaceWith: next }], unchanged)) ?? (await readHeld(lease))
    },
    async addAttempt(lease, attempt, event) {
      const { number } = await readHeld(lease)
      const absent = { number, 'attempts.number': { $ne: attempt.number } }
      const attempts = { $concatArrays: ['$attempts', [literal({ ...attempt, run: number })]] }
      const run = await update(lease, [{ $set: { attempts, ...lastEvent(event) } }], absent)
      return run ?? (await readHeld(lease))
    },
    async changeAttempt(lease, number, change, event) {
      const set = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined))
      const changed = {
        $cond: [{ $eq: ['$$each.number', number] }, { $mergeObjects: ['$$each', literal(set)] }, '$$each'],
      }
      const attempts = { $map: { input: '$attempts', as: 'each', in: changed } }
      const known = { 'attempts.number': number }
      const run = await update(lease, [{ $set: { attempts, ...lastEvent(event) } }], known)
      if (run) return run
      await readHeld(lease)
      throw new Error(`training ${lease.trainingId} has no attempt ${number}`)
    },
    async forgetAttempts(lease, numbers) {
      const isGone = {
        $and: [
          { $in: ['$$each.number', literal([...numbers])] },
          { $gt: ['$$each.tornDownAt', null] },
          { $eq: ['$$each.run', '$number'] },
        ],
      }
      const those = (cond: Document) => ({ $filter: { input: '$attempts', as: 'each', cond } })
      const highest = {
        $max: { $map: { input: those(isGone), as: 'each', in: '$$each.number' } },
      }
      const forgottenUpTo = { $ifNull: [{ $max: ['$forgottenUpTo', highest] }, '$$REMOVE'] }
      // Both are computed from the document as it was before.
      const run = await update(lease, [{ $set: { forgottenUpTo, attempts: those({ $not: [isGone] }) } }])
      if (!run) throw new LeaseLost(lease)
      return run
    },
    async unfinished(limit) {
      const documents = await runs
        .find(
          { ...ours, endedAt: { $exists: false }, hold: { $exists: false }, ...free },
          { projection: { _id: 1 } },
        )
        .sort({ startedAt: 1, _id: 1 })
        .limit(limit)
        .toArray()
      return documents.map(({ _id }) => _id)
    },
    async held() {
      const documents = await runs
        .find({ ...ours, hold: { $exists: true }, endedAt: { $exists: false } }, { projection: { hold: 1 } })
        .sort({ startedAt: 1, _id: 1 })
        .toArray()
      return documents.flatMap(({ _id, hold }) => (hold ? { ...hold, id: _id } : []))
    },
    async endedOf(accountId, since, limit) {
      const documents = await runs
        .find({ ...ours, 'terms.ownerAccountId': accountId, endedAt: { $gte: since } })
        .sort({ endedAt: -1, _id: 1 })
        .limit(limit)
        .toArray()
      return documents.map(runFrom)
    },
    async withMachines() {
      const documents = await runs
        .find({ ...ours, attempts: { $elemMatch: { tornDownAt: { $exists: false } } } })
        .toArray()
      return documents.map(runFrom)
    },
    async completedOnFirstAttempt(family, gpu, limit) {
      const documents = await runs
        .find({
          ...ours,
          number: 1,
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
      return withHolders([{ $match: ours }, { $sort: { startedAt: -1, _id: -1 } }, { $limit: limit }])
    },
  }
}

/** It gets the next number, and the database's time. */
function lastEvent(event: NewTimelineEvent | undefined): Document {
  if (!event) return {}
  const number = { $add: [{ $ifNull: ['$lastEvent.number', 0] }, 1] }
  return { lastEvent: { $mergeObjects: [literal(event), { number, at: '$$NOW' }] } }
}

function held({ trainingId, owner, token }: Lease) {
  return { _id: trainingId, owner, token }
}

function runFrom({ _id, token, owner, expiresAt, attempts, cutShort, ...run }: RunDocument): Run {
  const of = (isEarlier: boolean) =>
    attempts.filter((each) => each.run < run.number === isEarlier).map(({ run: _, ...attempt }) => attempt)
  const early = cutShort && { finishedEarly: true }
  return { id: _id, ...early, ...run, attempts: of(false), earlierAttempts: of(true) }
}
