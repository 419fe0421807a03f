import { ObjectId } from 'mongodb'
import { beforeEach, expect, test } from 'vitest'
import { createIndexes } from '../../src/trainings/indexes.ts'
import { mongoRuns } from '../../src/trainings/mongo-runs.ts'
import { mongoTrainings, type TrainingsOptions } from '../../src/trainings/mongo-trainings.ts'
import type { Runs } from '../../src/trainings/runs.ts'
import type { Training, Trainings } from '../../src/trainings/trainings.ts'
import { memoryRuns } from '../fakes/memory-runs.ts'
import { memoryTrainings } from '../fakes/memory-trainings.ts'
import { describeBoth } from './worlds.ts'

const plenty = { running: 1000, runningPerOwner: 1000 }
const owner = new ObjectId()
const result = {
  modelId: 'd'.repeat(24),
  modelRepoUrl: 'https://models.example/one.safetensors',
  triggerWords: ['sks'],
  previewImages: ['https://models.example/one.png'],
}

type Documents = {
  insert(document: Record<string, unknown>): Promise<unknown>
  set(_id: unknown, fields: Record<string, unknown>): Promise<unknown>
  get(_id: unknown): Promise<Record<string, unknown> | null | undefined>
}

function job(fields: Record<string, unknown> = {}) {
  return {
    _id: new ObjectId(),
    datasetId: new ObjectId(),
    ownerAccountId: owner,
    offeringId: 'sdxl-lora',
    baseModel: 'SDXL',
    status: 'QUEUED',
    createdAt: new Date('2026-11-01T00:00:00Z'),
    updatedAt: new Date('2026-11-01T00:00:00Z'),
    ...fields,
  }
}

describeBoth('trainings', (world) => {
  let runs: Runs
  let documents: Documents
  let trainings: Trainings
  let withOptions: (options: Partial<TrainingsOptions>) => Trainings

  beforeEach(async () => {
    if (world.name === 'memory') {
      const held = memoryRuns()
      runs = held
      const memory = (options: Partial<TrainingsOptions>) =>
        memoryTrainings({ ...options, isHeld: held.isHeld, isUnfinished: held.isUnfinished })
      let current = memory({})
      trainings = current
      withOptions = (options) => {
        current = memory(options)
        return current
      }
      const idOf = (_id: unknown) => (_id instanceof ObjectId ? _id.toHexString() : `${_id}`)
      documents = {
        insert: async (document) => current.insert(document),
        set: async (_id, fields) => current.set(idOf(_id), fields),
        get: async (_id) => current.document(idOf(_id)),
      }
      return
    }
    const db = world.db()
    await db.dropDatabase()
    await createIndexes(db)
    const deployment = 'bellows-test'
    runs = mongoRuns(db, deployment)
    trainings = mongoTrainings(db, { deployment })
    withOptions = (options) => mongoTrainings(db, { deployment, ...options })
    const jobs = db.collection('trainingJobs')
    documents = {
      insert: (document) => jobs.insertOne(document),
      set: (_id, fields) => jobs.updateOne({ _id: _id as ObjectId }, { $set: fields }),
      get: (_id) => jobs.findOne({ _id: _id as ObjectId }),
    }
  })

  /** Claims with this many claimers until nothing is left. */
  async function claimAll(claimers: number, limits = plenty): Promise<Training[]> {
    const claimed: Training[] = []
    const claimer = async () => {
      for (let next = await trainings.claim(limits); next; next = await trainings.claim(limits))
        claimed.push(next)
    }
    await Promise.all(Array.from({ length: claimers }, claimer))
    return claimed
  }

  test('the oldest document is claimed first and turns RUNNING, its other fields untouched', async () => {
    const young = job({ createdAt: new Date('2026-11-02T00:00:00Z') })
    const old = job({ walletAddress: '0xabc', favourite: { colour: 'blue' }, rank: 32 })
    await documents.insert(young)
    await documents.insert(old)
    const training = await trainings.claim(plenty)
    expect(training).toMatchObject({
      id: old._id.toHexString(),
      status: 'RUNNING',
      ownerAccountId: owner.toHexString(),
      datasetId: old.datasetId.toHexString(),
      offeringId: 'sdxl-lora',
      baseModel: 'SDXL',
      problems: [],
      overrides: { rank: 32, favourite: { colour: 'blue' } },
    })
    const { status, startedAt, updatedAt, ...rest } = (await documents.get(old._id)) ?? {}
    expect(status).toBe('RUNNING')
    expect(startedAt).toBeInstanceOf(Date)
    expect(updatedAt).not.toEqual(old.updatedAt)
    expect({ ...rest, progress: undefined }).toEqual((({ status, updatedAt, ...others }) => others)(old))
  })

  test('an empty queue gives nothing', async () => {
    expect(await trainings.claim(plenty)).toBeUndefined()
  })

  test('twenty claimers get two hundred documents exactly once', async () => {
    const jobs = Array.from({ length: 200 }, () => job())
    for (const each of jobs) await documents.insert(each)
    const claimed = await claimAll(20)
    expect(claimed.map(({ id }) => id).sort()).toEqual(jobs.map(({ _id }) => _id.toHexString()).sort())
  }, 60_000)

  test('twenty claimers never pass the limits of the owners and of the system', async () => {
    const greedy = new ObjectId()
    for (let index = 0; index < 30; index++) await documents.insert(job({ ownerAccountId: greedy }))
    for (let index = 0; index < 30; index++) {
      await documents.insert(job({ createdAt: new Date('2026-11-02T00:00:00Z') }))
    }
    const claimed = await claimAll(20, { running: 5, runningPerOwner: 3 })
    const byOwner = Map.groupBy(claimed, ({ ownerAccountId }) => ownerAccountId)
    expect([byOwner.get(greedy.toHexString())?.length, byOwner.get(owner.toHexString())?.length]).toEqual([
      3, 2,
    ])
  }, 60_000)

  test('a slot is free again once its job has ended', async () => {
    await documents.insert(job())
    await documents.insert(job())
    const one = { running: 1, runningPerOwner: 1 }
    const [first] = await claimAll(1, one)
    await trainings.fail(first?.id ?? '', 'no')
    await trainings.releaseSlot(first?.id ?? '')
    await trainings.releaseSlot(first?.id ?? '')
    expect(await claimAll(1, one)).toHaveLength(1)
  })

  test('the slot of a job that ended without giving it back is found', async () => {
    await documents.insert(job())
    await documents.insert(job())
    const one = { running: 1, runningPerOwner: 1 }
    const [first] = await claimAll(1, one)
    await trainings.fail(first?.id ?? '', 'no')
    expect(await claimAll(1, one)).toHaveLength(1)
  })

  test('a cancelled job keeps its slot until its run has ended', async () => {
    const cancelled = job()
    await documents.insert(cancelled)
    const one = { running: 1, runningPerOwner: 1 }
    await claimAll(1, one)
    await documents.insert(job())
    const held = await runs.acquire(cancelled._id.toHexString(), 'worker', 60_000)
    await documents.set(cancelled._id, { status: 'CANCELLED' })
    expect(await claimAll(1, one)).toEqual([])
    if (held) await runs.change(held.lease, { endedAt: new Date() })
    expect(await claimAll(1, one)).toHaveLength(1)
  })

  test('an account counts as one, whether it is an ObjectId or its text', async () => {
    await documents.insert(job())
    await documents.insert(job({ ownerAccountId: owner.toHexString() }))
    expect(await claimAll(1, { running: 10, runningPerOwner: 1 })).toHaveLength(1)
  })

  test.each<[string, Record<string, unknown>, string]>([
    ['a text for an ObjectId', { datasetId: 'abc' }, 'datasetId is the text "abc", not an ObjectId'],
    ['a number as a text', { steps: '1000' }, 'steps is the text "1000", not a number'],
    ['no owner', { ownerAccountId: undefined }, 'ownerAccountId is missing'],
    ['an owner that is a list', { ownerAccountId: [1, 2] }, 'ownerAccountId is a list, not an ObjectId'],
    ['no base model', { baseModel: null }, 'baseModel is missing'],
    ['an offering that is a number', { offeringId: 7 }, 'offeringId is the number 7, not a text'],
    ['no date', { createdAt: undefined }, 'createdAt is missing'],
    ['a date that is a text', { createdAt: 'today' }, 'createdAt is the text "today", not a date'],
    ['an _id that is a text', { _id: 'mine' }, '_id is the text "mine", not an ObjectId'],
  ])('%s is claimed with its problem, and stops no other job', async (_, fields, problem) => {
    const wrong = job(fields)
    for (const [name, value] of Object.entries(fields)) {
      if (value === undefined) delete (wrong as Record<string, unknown>)[name]
    }
    await documents.insert(wrong)
    await documents.insert(job({ createdAt: new Date('2026-11-02T00:00:00Z') }))
    const claimed = await claimAll(1)
    expect(claimed).toHaveLength(2)
    expect(claimed.map(({ problems }) => problems)).toContainEqual([problem])
    const training = claimed.find(({ problems }) => problems.length > 0)
    expect(training?.createdAt).toBeInstanceOf(Date)
    await trainings.fail(training?.id ?? '', 'It is wrong.')
    expect((await trainings.read(training?.id ?? ''))?.status).toBe('FAILED')
  })

  test.each<[string, Record<string, unknown>, RegExp]>([
    ['whose _id is an object', { _id: { a: 1 } }, /_id is an object, neither an ObjectId nor a text/],
    ['whose _id is a number', { _id: 7 }, /_id is the number 7, neither/],
    [
      'whose status is no known word',
      { status: 'WAITING' },
      /status is the text "WAITING", not one of QUEUED/,
    ],
    ['whose status is an object', { status: { toString: 'x' } }, /status is an object, not one of/],
    ['without a status', { status: undefined }, /status is missing, not one of/],
  ])('a document %s is never claimed, and is shown as not understood', async (_, fields, sentence) => {
    await documents.insert(job(fields))
    await documents.insert(job())
    expect(await claimAll(2)).toHaveLength(1)
    expect(await trainings.strangers(10)).toEqual([])
    expect(await trainings.notUnderstood()).toEqual({ count: 1, examples: [expect.stringMatching(sentence)] })
  })

  test('what is RUNNING without a slot is a stranger, and never an orphan', async () => {
    const foreign = job({ status: 'RUNNING' })
    await documents.insert(foreign)
    await documents.insert(job())
    const [{ id } = { id: '' }] = await claimAll(1)
    expect(await trainings.orphans(10)).toEqual([id])
    expect(await trainings.strangers(10)).toEqual([foreign._id.toHexString()])
  })

  test('a job whose slot is freed while it is RUNNING waits in the queue', async () => {
    const one = job()
    await documents.insert(one)
    const limits = { running: 1, runningPerOwner: 1 }
    const [{ id } = { id: '' }] = await claimAll(1, limits)
    await trainings.releaseSlot(id)
    expect((await documents.get(one._id))?.status).toBe('QUEUED')
    expect(await trainings.claim(limits, [id])).toBeUndefined()
    expect((await trainings.claim(limits))?.id).toBe(id)
  })

  test('a job that was cancelled meanwhile is not in the queue again', async () => {
    const one = job()
    await documents.insert(one)
    const [{ id } = { id: '' }] = await claimAll(1)
    await documents.set(one._id, { status: 'CANCELLED' })
    await trainings.releaseSlot(id)
    expect((await documents.get(one._id))?.status).toBe('CANCELLED')
  })

  test('nothing is claimed while claiming is paused, and the first to pause it is named', async () => {
    await documents.insert(job())
    await trainings.pause('an upgrade')
    await trainings.pause('another')
    expect(await trainings.paused()).toEqual({ since: expect.any(Date), by: 'an upgrade' })
    expect(await claimAll(2)).toEqual([])
    await trainings.resume()
    expect(await trainings.paused()).toBeUndefined()
    expect(await claimAll(2)).toHaveLength(1)
  })

  test('statuses are told of documents that exist, an unknown word as CANCELLED', async () => {
    const [one, two] = [job(), job({ status: 'PAUSED' })]
    await documents.insert(one)
    await documents.insert(two)
    const ids = [one, two, job()].map(({ _id }) => _id.toHexString())
    expect([...(await trainings.statuses(ids))].sort()).toEqual(
      [
        [ids[0], 'QUEUED'],
        [ids[1], 'CANCELLED'],
      ].sort(),
    )
  })

  test('a document that was set to RUNNING gets its ending back', async () => {
    const one = job({ status: 'RUNNING' })
    await documents.insert(one)
    const id = one._id.toHexString()
    const endedAt = new Date('2026-11-03T00:00:00Z')
    await trainings.restore(id, { status: 'COMPLETED', remark: 'It is done.', endedAt, result })
    expect(await documents.get(one._id)).toMatchObject({
      status: 'COMPLETED',
      failureReason: 'It is done.',
      completedAt: endedAt,
      modelRepoUrl: result.modelRepoUrl,
    })
    await trainings.restore(id, { status: 'FAILED', remark: 'no', endedAt, result: undefined })
    expect((await documents.get(one._id))?.status).toBe('COMPLETED')
  })

  test('what became of a job that was ended from outside is said once, and its model delivered once', async () => {
    const [one, two] = [job({ status: 'CANCELLED' }), job({ status: 'RUNNING' })]
    await documents.insert(one)
    await documents.insert(two)
    const [id, running] = [one._id.toHexString(), two._id.toHexString()]
    await trainings.explain(id, 'Half came back.')
    await trainings.explain(id, 'All came back.')
    await trainings.explain(running, 'no')
    expect(await documents.get(one._id)).toMatchObject({
      status: 'CANCELLED',
      failureReason: 'Half came back.',
    })
    await trainings.deliver(id, result, 'The model is finished.')
    await trainings.deliver(id, result, 'Again.')
    await trainings.deliver(running, result, 'no')
    expect(await documents.get(one._id)).toMatchObject({
      status: 'CANCELLED',
      modelRepoUrl: result.modelRepoUrl,
      failureReason: 'The model is finished.',
    })
    const untouched = (await documents.get(two._id)) ?? {}
    expect(Object.keys(untouched)).not.toContain('failureReason')
    expect(Object.keys(untouched)).not.toContain('modelRepoUrl')
  })

  test('slots of one deployment are none of another’s', async () => {
    if (world.name === 'memory') return
    const other = withOptions({ deployment: 'another' })
    await documents.insert(job())
    await documents.insert(job())
    const one = { running: 1, runningPerOwner: 1 }
    expect(await claimAll(1, one)).toHaveLength(1)
    expect(await other.claim(one)).toBeDefined()
    await other.pause('only mine')
    expect(await trainings.paused()).toBeUndefined()
    expect(await trainings.orphans(10)).toHaveLength(1)
  })

  test('a document of another environment is left alone; one without is open to all', async () => {
    trainings = withOptions({ environment: 'production' })
    await documents.insert(job({ environment: 'development' }))
    await documents.insert(job({ environment: 'production' }))
    await documents.insert(job())
    expect(await claimAll(2)).toHaveLength(2)
    expect((await trainings.counts()).QUEUED).toBe(1)
  })

  test('progress, charge and result are written in the documented fields', async () => {
    const one = job()
    await documents.insert(one)
    const [{ id } = { id: '' }] = await claimAll(1)
    await trainings.recordCharge(id, 500, new Date('2026-11-03T00:00:00Z'))
    await trainings.recordProgress(id, { progress: 41.666, step: 5, totalSteps: 12, loss: 0.25 })
    expect(await documents.get(one._id)).toMatchObject({
      costPoints: 500,
      paidAt: new Date('2026-11-03T00:00:00Z'),
      progress: 41.7,
      currentStep: 5,
      totalSteps: 12,
      currentLoss: 0.25,
    })
    await trainings.complete(id, result, '')
    const done = (await documents.get(one._id)) ?? {}
    expect(done).toMatchObject({
      ...(({ modelId, ...fields }) => fields)(result),
      status: 'COMPLETED',
      progress: 100,
    })
    expect(Object.keys(done)).not.toContain('failureReason')
    expect(`${done.loraModelId}`).toBe(result.modelId)
    expect(done.completedAt).toBeInstanceOf(Date)
  })

  test('what an owner should know of a model is said beside it', async () => {
    const one = job()
    await documents.insert(one)
    const [{ id } = { id: '' }] = await claimAll(1)
    await trainings.complete(id, result, 'It has 5 of 12 steps.')
    const document = await documents.get(one._id)
    expect(document).toMatchObject({ status: 'COMPLETED', failureReason: 'It has 5 of 12 steps.' })
  })

  test('the step fields are left out where the document’s producer does not know them', async () => {
    trainings = withOptions({ writeStepFields: false })
    const one = job()
    await documents.insert(one)
    const [{ id } = { id: '' }] = await claimAll(1)
    await trainings.recordProgress(id, { progress: 10, step: 1, totalSteps: 10, loss: undefined })
    const document = (await documents.get(one._id)) ?? {}
    expect(document.progress).toBe(10)
    expect(Object.keys(document)).not.toContain('currentStep')
  })

  test('a user’s CANCELLED wins over every later write', async () => {
    const one = job()
    await documents.insert(one)
    const [{ id } = { id: '' }] = await claimAll(1)
    await documents.set(one._id, { status: 'CANCELLED' })
    await trainings.recordCharge(id, 500, new Date())
    await trainings.recordProgress(id, { progress: 50, step: 5, totalSteps: 10, loss: 1 })
    await trainings.fail(id, 'too late')
    await trainings.complete(id, result, 'too late as well')
    const document = (await documents.get(one._id)) ?? {}
    expect(document).toMatchObject({ status: 'CANCELLED', progress: 0 })
    for (const field of ['costPoints', 'failureReason', 'modelRepoUrl']) {
      expect(Object.keys(document)).not.toContain(field)
    }
  })

  test('a RUNNING training without a live lease is an orphan', async () => {
    await documents.insert(job())
    const [{ id } = { id: '' }] = await claimAll(1)
    expect(await trainings.orphans(10)).toEqual([id])
    const held = await runs.acquire(id, 'worker', 60_000)
    expect(await trainings.orphans(10)).toEqual([])
    if (held) await runs.release(held.lease)
    expect(await trainings.orphans(10)).toEqual([id])
  })

  test('documents are counted by status', async () => {
    await documents.insert(job())
    await documents.insert(job({ status: 'FAILED' }))
    await documents.insert(job({ status: 'PAUSED' }))
    expect(await trainings.counts()).toEqual({ QUEUED: 1, RUNNING: 0, COMPLETED: 0, FAILED: 1, CANCELLED: 0 })
  })
})
