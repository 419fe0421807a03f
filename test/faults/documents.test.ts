/** Documents are edited by people, at any time: what happens to a job whose document is changed, ended, deleted or queued again. */
import { ObjectId } from 'mongodb'
import { expect, test } from 'vitest'
import { watchDocuments } from '../../src/operations/watch-documents.ts'
import type { TrainerScript } from '../fakes/simulated-machine.ts'
import { goodTrainer } from './good-trainer.ts'
import { allEnded, insertJob } from './jobs.ts'
import { brokenPromises } from './promises.ts'
import { settings } from './settings.ts'
import { createWorld, type World } from './world.ts'

const second = 1000
const hour = 3_600_000
/** Of the claim loop in these worlds, with its jitter; and a heartbeat. */
const twoPolls = 2 * 1200

const crash: TrainerScript = function* () {
  yield { exit: 1 }
}

const diverges: TrainerScript = function* (view) {
  yield goodTrainer(view).next().value
  yield { exit: 65 }
}

/** Trains badly as long as `isBad`, and well afterwards. */
function trainer(isBad: () => boolean, bad: TrainerScript = crash) {
  return (): TrainerScript => (view) => (isBad() ? bad(view) : goodTrainer(view))
}

async function ended(world: World, ids: readonly string[], limit = 4 * hour): Promise<void> {
  await world.clock.runUntil(() => allEnded(world, ids), limit)
}

async function pass(world: World, milliseconds: number): Promise<void> {
  const end = world.clock.elapsed + milliseconds
  await world.clock.runUntil(() => world.clock.elapsed >= end, milliseconds + hour)
}

async function until(world: World, done: () => boolean): Promise<void> {
  await world.clock.runUntil(done, hour)
}

const keysOf = async (world: World, id: string) => (await world.ledger.movements(id)).map(({ key }) => key)
const said = (world: World, text: RegExp) => world.events.some(({ message }) => text.test(message))

test.each(['FAILED', 'CANCELLED'])(
  'a job that ended %s and is requeued is a new run, charged under a key of its own; history stays',
  async (status) => {
    let isBad = true
    const world = createWorld({ trainer: trainer(() => isBad), turnMs: () => 3000 })
    await world.install()
    const id = await insertJob(world)
    if (status === 'CANCELLED') isBad = false
    world.startWorker('worker')
    if (status === 'CANCELLED') {
      await world.clock.runUntil(() => said(world, /^step 6 of/), hour)
      world.trainings.set(id, { status })
    }
    await ended(world, [id])
    expect(world.trainings.document(id)?.status).toBe(status)
    const firstStory = await world.timeline.read(id)

    isBad = false
    world.trainings.set(id, { status: 'QUEUED' })
    await ended(world, [id])
    expect(world.trainings.document(id)).toMatchObject({ status: 'COMPLETED' })
    expect(await keysOf(world, id)).toEqual([
      `charge:${id}`,
      `refund:${id}`,
      `charge:${id}:2`,
      `credit:${id}:trainer`,
      `credit:${id}:dataset-creator`,
    ])
    const run = await world.runs.read(id)
    expect(run).toMatchObject({ number: 2, earlier: [{ number: 1 }] })
    const story = await world.timeline.read(id)
    expect(story.slice(0, firstStory.length)).toEqual(firstStory)
    expect(story.map(({ number }) => number)).toEqual(story.map((_, index) => index + 1))
    expect(await brokenPromises(world, [id])).toEqual([])
  },
)

test('a dataset that changes hands in mid-run credits who had it when the run was planned', async () => {
  const world = createWorld({ turnMs: () => 3000 })
  await world.install()
  const id = await insertJob(world)
  const first = world.startWorker('first')
  await world.clock.runUntil(() => said(world, /^step 6 of/), hour)
  const dataset = world.datasets.document(String(world.trainings.document(id)?.datasetId))
  const creator = String(dataset?.ownerAccountId)
  Object.assign(dataset ?? {}, { ownerAccountId: new ObjectId() })
  first.kill()
  world.startWorker('second')
  await ended(world, [id])
  const credit = (await world.ledger.movements(id)).find(({ key }) => key.endsWith('dataset-creator'))
  expect(credit?.accountId).toBe(creator)
})

test.each([
  ['FAILED', 2],
  ['COMPLETED', 1],
])(
  'a job that is requeued and claimed while its end as %s is applied is not left RUNNING',
  async (status, runs) => {
    let isBad = status === 'FAILED'
    const world = createWorld({ trainer: trainer(() => isBad) })
    await world.install()
    const id = await insertJob(world)
    let queuedAgain = false
    world.startWorker('ends it', {
      async before({ verb }) {
        if (verb !== 'releaseSlot' || queuedAgain) return
        queuedAgain = true
        isBad = false
        world.trainings.set(id, { status: 'QUEUED' })
        world.startWorker('claims it')
        while (world.trainings.document(id)?.status !== 'RUNNING') await world.clock.sleep(100)
      },
    })
    await until(world, () => queuedAgain)
    await ended(world, [id], hour)
    expect(world.trainings.document(id)).toMatchObject({ status: 'COMPLETED' })
    expect(await world.runs.read(id)).toMatchObject({ number: runs })
    expect(await brokenPromises(world, [id])).toEqual([])
  },
)

test('a training that was ended by its cost limit goes on from its checkpoint when it is queued again', async () => {
  const slow = { ...settings.offerings['sdxl-lora'], overrides: { steps: 2000, checkpointEvery: 100 } }
  const world = createWorld({
    settings: { offerings: { 'sdxl-lora': slow as never }, maxJobUsd: 0.5 },
    turnMs: () => 15_000,
    trainer: () => (view) => {
      view.files.has('finish') // deaf to it
      return goodTrainer({ ...view, files: new Map([...view.files].filter(([path]) => path !== 'finish')) })
    },
  })
  await world.install()
  const id = await insertJob(world)
  world.startWorker('worker')
  await ended(world, [id], 48 * hour)
  expect((await world.runs.read(id))?.outcome?.ending).toBe('over-budget')
  const kept = await world.store.list('work', `jobs/${id}/checkpoint`)
  expect(kept.length).toBeGreaterThan(0)
  const before = world.events.length
  world.trainings.set(id, { status: 'QUEUED' })
  await world.clock.runUntil(() => world.events.slice(before).some(({ kind }) => kind === 'step'), 4 * hour)
  const first = world.events.slice(before).find(({ kind }) => kind === 'step')
  expect(first?.data?.step).toBeGreaterThan(100)
}, 60_000)

test.each(['QUEUED', 'RUNNING'])(
  'a COMPLETED document that is set to %s gets its ending back, and nothing is charged',
  async (status) => {
    const world = createWorld()
    await world.install()
    const id = await insertJob(world)
    world.startWorker('worker')
    await ended(world, [id])
    const before = { ...world.trainings.document(id) }
    const movements = await world.ledger.movements(id)
    world.trainings.set(id, { status, loraModelId: null })
    if (status === 'RUNNING') await watchDocuments(world)
    await until(world, () => world.trainings.document(id)?.status === 'COMPLETED')
    expect(world.trainings.document(id)).toMatchObject({
      loraModelId: before.loraModelId,
      modelRepoUrl: before.modelRepoUrl,
      failureReason: expect.stringMatching(/\w/),
    })
    expect(await world.ledger.movements(id)).toEqual(movements)
    expect(world.machines.made()).toHaveLength(1)
    expect(world.trainings.slots()).toEqual([])
  },
)

test('a FAILED document that is set to RUNNING by hand gets its ending back', async () => {
  const world = createWorld({ trainer: () => crash })
  await world.install()
  const id = await insertJob(world)
  world.startWorker('worker')
  await ended(world, [id])
  world.trainings.set(id, { status: 'RUNNING', failureReason: '' })
  await watchDocuments(world)
  expect(world.trainings.document(id)).toMatchObject({
    status: 'FAILED',
    failureReason: expect.stringMatching(/The trainer crashed .* set its status to QUEUED/),
  })
})

test.each<[string, (world: World, id: string) => void]>([
  ['is deleted', (world, id) => world.trainings.remove(id)],
  ['is set to FAILED', (world, id) => world.trainings.set(id, { status: 'FAILED' })],
  ['is set to COMPLETED', (world, id) => world.trainings.set(id, { status: 'COMPLETED' })],
  ['gets an unknown status', (world, id) => world.trainings.set(id, { status: 'PAUSED' })],
])('a job whose document %s in training is wound down as a cancelled one is', async (_, edit) => {
  const world = createWorld({ turnMs: () => 3000 })
  await world.install()
  const id = await insertJob(world)
  const balance = (await world.ledger.movements(id)).length
  expect(balance).toBe(0)
  world.startWorker('worker')
  await until(world, () => said(world, /^step 4 of/))
  const status = world.trainings.document(id)?.status
  expect(status).toBe('RUNNING')
  edit(world, id)
  const edited = world.trainings.document(id)?.status
  await until(world, () => world.machines.made().every(({ running }) => !running))
  await until(world, () => !world.runs.isUnfinished(id))
  const run = await world.runs.read(id)
  expect(run?.outcome?.ending).toBe('cancelled')
  expect(run?.outcome?.refundPoints).toBeGreaterThan(400)
  expect((await world.ledger.movements(id)).map(({ points }) => points)).toEqual([
    -1000,
    run?.outcome?.refundPoints,
  ])
  expect(world.trainings.document(id)?.status).toBe(edited)
  expect(world.trainings.slots()).toEqual([])
  expect(world.machines.left()).toEqual([])
  if (edited) expect(world.trainings.document(id)?.failureReason).toBe(run?.outcome?.sentence)
})

test('a job whose document is deleted while no worker lives is wound down within two polls of the next', async () => {
  const world = createWorld({ turnMs: () => 3000 })
  await world.install()
  const id = await insertJob(world)
  const first = world.startWorker('first')
  await until(world, () => said(world, /^step 4 of/))
  first.kill()
  world.trainings.remove(id)
  await pass(world, settings.leaseMs + second)
  expect(world.machines.made().map(({ running }) => running)).toEqual([true])
  world.startWorker('second')
  await pass(world, twoPolls)
  expect(world.machines.made().map(({ running }) => running)).toEqual([false])
  await until(world, () => !world.runs.isUnfinished(id))
  expect(await keysOf(world, id)).toEqual([`charge:${id}`, `refund:${id}`])
  expect(world.trainings.slots()).toEqual([])
})

test.each<[string, Record<string, unknown>]>([
  ['removed', { ownerAccountId: null }],
  ['turned into text', { ownerAccountId: 'me' }],
  ['another’s', { ownerAccountId: new ObjectId() }],
])('the account that was charged gets its points back, though the document’s is %s', async (_, fields) => {
  const world = createWorld({ trainer: () => crash })
  await world.install()
  const owner = new ObjectId()
  const id = await insertJob(world, { ownerAccountId: owner })
  world.startWorker('worker')
  await until(world, () => said(world, /^charged/))
  world.trainings.set(id, fields)
  await ended(world, [id])
  expect(world.trainings.document(id)?.failureReason).toMatch(/Your points have been returned\.$/)
  expect(await world.ledger.balance(owner.toHexString())).toBe(5000)
})

test('whatever is edited after the plan, the job is finished as it was agreed on', async () => {
  const world = createWorld({ turnMs: () => 3000 })
  await world.install()
  const owner = new ObjectId()
  const id = await insertJob(world, { ownerAccountId: owner, modelName: 'Red kite' })
  world.startWorker('worker')
  await until(world, () => said(world, /^step 4 of/))
  world.trainings.set(id, {
    ownerAccountId: 7,
    datasetId: null,
    offeringId: 'gold',
    baseModel: {},
    modelName: 'Blue kite',
    steps: 'many',
  })
  await ended(world, [id])
  expect(world.trainings.document(id)?.status).toBe('COMPLETED')
  expect(world.models.all()).toMatchObject([
    { trainingId: id, ownerAccountId: owner.toHexString(), name: 'Red kite' },
  ])
  expect(await world.ledger.balance(owner.toHexString())).toBe(4100)
})

test('what another system left RUNNING is never charged or trained, and one alert names it', async () => {
  const world = createWorld()
  await world.install()
  const foreign = await Promise.all(
    Array.from({ length: 5 }, () =>
      insertJob(world, { status: 'RUNNING', createdAt: new Date('2024-03-01') }),
    ),
  )
  const id = await insertJob(world)
  world.startWorker('worker')
  await ended(world, [id])
  for (const each of foreign) {
    expect(world.trainings.document(each)?.status).toBe('RUNNING')
    expect(await world.runs.read(each)).toBeUndefined()
    expect(await world.ledger.movements(each)).toEqual([])
  }
  await watchDocuments(world)
  await watchDocuments(world)
  expect(world.alerts.said.map(({ key, kind }) => `${kind} ${key}`)).toEqual(['raised documents-of-others'])
  for (const each of foreign) world.trainings.set(each, { status: 'FAILED' })
  await watchDocuments(world)
  expect(world.alerts.said.map(({ kind }) => kind)).toEqual(['raised', 'over'])
})

test('documents that make no sense are left alone, and one alert names them', async () => {
  const world = createWorld()
  await world.install()
  await insertJob(world, { _id: { a: 1 } })
  await insertJob(world, { status: 'WAITING' })
  const id = await insertJob(world)
  world.startWorker('worker')
  await until(world, () => world.trainings.document(id)?.status === 'COMPLETED')
  await watchDocuments(world)
  expect(world.alerts.said).toMatchObject([
    { key: 'documents-not-understood', kind: 'raised', text: expect.stringMatching(/2 of them/) },
  ])
})

test('with ten of every kind of document that leads nowhere, a new job is claimed within two polls', async () => {
  const world = createWorld({ maxRunning: 200, trainer: trainer(() => false) })
  await world.install()
  const worker = world.startWorker('worker')
  const done: string[] = []
  for (let index = 0; index < 20; index++) done.push(await insertJob(world))
  await ended(world, done, 24 * hour)
  for (const [index, id] of done.entries())
    world.trainings.set(id, { status: index % 2 ? 'QUEUED' : 'RUNNING' })
  for (let index = 0; index < 10; index++) {
    await insertJob(world, { status: 'RUNNING', createdAt: new Date('2024-01-01') })
    await insertJob(world, { _id: { index } })
    await insertJob(world, { status: { toString: 'x' } })
    await insertJob(world, { status: 'DONE' })
    await insertJob(world, { ownerAccountId: null })
  }
  const id = await insertJob(world, { createdAt: new Date('2020-01-01') })
  const before = world.clock.elapsed
  await until(world, () => world.trainings.document(id)?.status === 'RUNNING')
  expect(world.clock.elapsed - before).toBeLessThan(twoPolls)
  await until(world, () => world.trainings.document(id)?.status === 'COMPLETED')

  // What is left leads nowhere: looks at it become rare.
  await pass(world, 600 * second)
  const [calls, used] = [worker.calls(), process.cpuUsage()]
  await pass(world, 600 * second)
  expect((worker.calls() - calls) / 600).toBeLessThan(10)
  const { user, system } = process.cpuUsage(used)
  expect((user + system) / 1e6, 'seconds of a core').toBeLessThan(0.02 * 600)
})

test('a job that its workers die with, again and again, is given up after a few, refunded and explained', async () => {
  const world = createWorld()
  await world.install()
  const id = await insertJob(world)
  let deaths = 0
  function start(): void {
    const worker = world.startWorker(`worker-${deaths}`, {
      before({ port, verb }) {
        if (port !== 'prepareDataset' || verb !== 'run') return
        deaths++
        worker.kill()
        start()
      },
    })
  }
  start()
  await ended(world, [id], 24 * hour)
  expect(deaths).toBe(6)
  expect(world.trainings.document(id)).toMatchObject({
    status: 'FAILED',
    failureReason: expect.stringMatching(/^Something went wrong on our side/),
  })
  expect(world.alerts.said.map(({ text }) => text)).toContainEqual(
    expect.stringContaining('Something went wrong'),
  )
})

test('after three trainings in a row that wasted a machine, an account’s next one waits, longer each time', async () => {
  const world = createWorld({ trainer: () => diverges })
  await world.install()
  world.startWorker('worker')
  const owner = new ObjectId()
  const waits: number[] = []
  for (let job = 0; job < 5; job++) {
    const before = world.clock.elapsed
    const id = await insertJob(world, { ownerAccountId: owner })
    await until(world, () => said(world, new RegExp(`bellows-${id}`)) || !world.runs.isUnfinished(id)).catch(
      () => {},
    )
    await ended(world, [id], 24 * hour)
    waits.push(world.clock.elapsed - before)
  }
  const [first = 0, , , fourth = 0, fifth = 0] = waits
  expect(first).toBeLessThan(60 * second)
  expect(fourth).toBeGreaterThanOrEqual(10 * 60 * second - 60 * second)
  expect(fifth).toBeGreaterThan(fourth * 1.5)
  const other = await insertJob(world)
  const before = world.clock.elapsed
  await ended(world, [other])
  expect(world.clock.elapsed - before).toBeLessThan(60 * second)
})

test('trainings that cost no machine delay no job, however many of an account fail', async () => {
  const world = createWorld()
  await world.install()
  world.startWorker('worker')
  const owner = new ObjectId()
  const refused: string[] = []
  for (let job = 0; job < 5; job++)
    refused.push(await insertJob(world, { ownerAccountId: owner, steps: 10_000_000 }))
  await ended(world, refused)
  expect(world.machines.made()).toEqual([])
  const before = world.clock.elapsed
  const id = await insertJob(world, { ownerAccountId: owner })
  await ended(world, [id])
  expect(world.trainings.document(id)?.status).toBe('COMPLETED')
  expect(world.clock.elapsed - before).toBeLessThan(60 * second)
})

test('a job whose base is missing waits uncharged, tells an operator, and goes on when the base is there', async () => {
  const world = createWorld()
  const id = await insertJob(world)
  world.startWorker('worker')
  await pass(world, 60 * second)
  expect(world.trainings.document(id)?.status).toBe('QUEUED')
  expect((await world.runs.read(id))?.hold?.reason).toBe('the base model "tiny" has not been installed')
  expect(world.alerts.said).toMatchObject([{ key: `job:${id}` }])
  await world.install()
  await ended(world, [id])
  expect(world.trainings.document(id)?.status).toBe('COMPLETED')
})

test('a job that waits is cancelled at once when its owner says so', async () => {
  const world = createWorld()
  const id = await insertJob(world)
  world.startWorker('worker')
  await pass(world, 60 * second)
  world.trainings.set(id, { status: 'CANCELLED' })
  await pass(world, twoPolls)
  expect(world.runs.isUnfinished(id)).toBe(false)
  expect(await brokenPromises(world, [id])).toEqual([])
})

test('while claiming is paused nothing new begins, and what runs goes on', async () => {
  const world = createWorld({ turnMs: () => 1000 })
  await world.install()
  const running = await insertJob(world)
  world.startWorker('worker')
  await until(world, () => said(world, /^step 2 of/))
  await world.trainings.pause('an operator')
  const waiting = await insertJob(world)
  await until(world, () => world.trainings.document(running)?.status === 'COMPLETED')
  await pass(world, 60 * second)
  expect(world.trainings.document(waiting)?.status).toBe('QUEUED')
  await world.trainings.resume()
  await ended(world, [waiting])
  expect(world.trainings.document(waiting)?.status).toBe('COMPLETED')
})
