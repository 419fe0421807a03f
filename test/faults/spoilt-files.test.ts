/** A job's own files in the work bucket that were lost, cut or changed: they cost steps or work, never the job. */
import { expect, test } from 'vitest'
import type { Store } from '../../src/storage/store.ts'
import { noise, picture } from '../support/pictures.ts'
import { allEnded, insertJob } from './jobs.ts'
import { brokenPromises } from './promises.ts'
import { createWorld, type World } from './world.ts'

const hour = 3_600_000
type Spoil = (store: Store, folder: string) => Promise<unknown>

/** The store's files are spoilt when the first machine, at step 10 of 12 with checkpoints of 4 and 8, is taken away. */
async function spoilt(spoil: Spoil, atFollow: Spoil = async () => {}) {
  const world = createWorld()
  await world.install()
  const id = await insertJob(world)
  const folder = `jobs/${id}/`
  let taken = false
  world.startWorker('worker', {
    async before({ port, verb }) {
      if (port === 'host' && verb === 'followTrainer' && taken) await atFollow(world.store, folder)
      if (port !== 'machines' || verb !== 'order') return
      if (taken) await spoil(world.store, folder)
      taken = true
    },
  })
  void takeAway(world)
  await world.clock.runUntil(() => allEnded(world, [id]), 12 * hour)
  expect(await brokenPromises(world, [id], new Set([id]))).toEqual([])
  const timeline = await world.timeline.read(id)
  const steps = world.events.flatMap(({ kind, data }) => (kind === 'step' ? [Number(data?.step)] : []))
  return {
    run: await world.runs.read(id),
    document: world.trainings.document(id),
    /** But that nothing is heard of the machine that was taken away. */
    warnings: timeline
      .filter(({ kind, message }) => kind === 'warning' && !message.startsWith('the watch over'))
      .map(({ message }) => message),
    /** Where the second machine went on. */
    goneOnFrom: steps.slice(steps.indexOf(10) + 1)[0],
  }
}

async function takeAway(world: World): Promise<void> {
  while (!world.events.some(({ kind, data }) => kind === 'step' && data?.step === 10))
    await world.clock.sleep(100)
  const name = world.machines.made()[0]?.name ?? ''
  world.inside(name)?.lose()
  world.machines.lose(name)
}

const write = (store: Store, key: string, content: Buffer | string) =>
  store.write({ bucket: 'work', key }, content, 'application/octet-stream')
/** The key of the file whose name begins so. */
async function only(store: Store, start: string): Promise<string> {
  const [file, ...others] = await store.list('work', start)
  if (!file || others.length > 0)
    throw new Error(`${others.length + (file ? 1 : 0)} files begin with ${start}`)
  return file.key
}
const remove = async (store: Store, start: string) =>
  store.remove({ bucket: 'work', key: await only(store, start) })
async function cut(store: Store, start: string): Promise<void> {
  const key = await only(store, start)
  await write(store, key, (await store.read({ bucket: 'work', key })).subarray(0, 100))
}
async function change(store: Store, start: string): Promise<void> {
  const key = await only(store, start)
  await write(store, key, Buffer.alloc((await store.read({ bucket: 'work', key })).length, 'x'))
}

test.each<[string, Spoil, number, RegExp]>([
  ['missing', (store, folder) => remove(store, `${folder}checkpoint-8-`), 5, /of step 8 is missing/],
  ['cut', (store, folder) => cut(store, `${folder}checkpoint-8-`), 5, /of step 8 has 100 bytes/],
  ['changed', (store, folder) => change(store, `${folder}checkpoint-8-`), 5, /of step 8 is not what it was/],
  [
    'missing, as the one before,',
    async (store, folder) => {
      await change(store, `${folder}checkpoint-8-`)
      await remove(store, `${folder}checkpoint-4-`)
    },
    1,
    /of step 4 is missing/,
  ],
  [
    'changed, as the one before,',
    async (store, folder) => {
      await change(store, `${folder}checkpoint-8-`)
      await change(store, `${folder}checkpoint-4-`)
    },
    1,
    /of step 4 is not what it was/,
  ],
  [
    'noted in a file that can’t be read',
    (store, folder) => write(store, `${folder}checkpoint-8.json`, '{"step":'),
    5,
    /can't be read/,
  ],
  [
    'noted in a file that is empty',
    (store, folder) => write(store, `${folder}checkpoint-8.json`, ''),
    5,
    /can't be read/,
  ],
  [
    'noted in a file that is endless',
    (store, folder) => write(store, `${folder}checkpoint-8.json`, ' '.repeat(20_000)),
    5,
    /can't be read/,
  ],
])('a checkpoint that is %s costs the steps, not the job', async (_, spoil, step, warning) => {
  const job = await spoilt(spoil)
  expect(job.document?.status).toBe('COMPLETED')
  expect(job.run?.attempts).toHaveLength(2)
  expect(job.goneOnFrom).toBe(step)
  expect(job.warnings.join('\n')).toMatch(warning)
})

test('a checkpoint that is not what it was is told of once, and is gone from the store', async () => {
  let left: readonly string[] = []
  const job = await spoilt(
    (store, folder) => change(store, `${folder}checkpoint-8-`),
    async (store, folder) => {
      left = (await store.list('work', `${folder}checkpoint-`)).map(({ key }) => key.slice(folder.length))
    },
  )
  expect(job.warnings).toHaveLength(1)
  expect(left).toEqual([expect.stringMatching(/^checkpoint-4-.*\.tar$/), 'checkpoint-4.json'])
})

test('a worker that wakes up after its lease, in the middle of saving, takes no newer checkpoint away', async () => {
  const world = createWorld({ turnMs: () => 30_000 })
  await world.install()
  const id = await insertJob(world)
  const awake = Promise.withResolvers<void>()
  let isPaused = false
  const first = world.startWorker('first', {
    async before({ port, verb, values }) {
      const key = String((values[0] as { key?: string } | undefined)?.key)
      if (isPaused || port !== 'store' || verb !== 'write' || !/checkpoint.*json$/.test(key)) return
      isPaused = true
      world.startWorker('second')
      await first.pause(310_000)
      awake.resolve()
    },
  })
  const isSafe = () => world.events.some(({ message }) => /^checkpoint of step (8|12) is safe/.test(message))
  await world.clock.runUntil(isSafe, hour)
  let isAwake = false
  void awake.promise
    .then(() => world.clock.sleep(1000))
    .then(() => {
      isAwake = true
    })
  await world.clock.runUntil(() => isAwake, hour)
  for (const { name, running } of world.machines.made()) if (running) world.machines.lose(name)
  await world.clock.runUntil(() => allEnded(world, [id]), 4 * hour)
  expect(world.machines.made()).toHaveLength(2)
  expect(await brokenPromises(world, [id])).toEqual([])
})

test('nothing spoilt, the training goes on from the newest checkpoint, without a word', async () => {
  const job = await spoilt(async () => {})
  expect(job.goneOnFrom).toBe(9)
  expect(job.warnings).toEqual([])
})

test.each<[string, Spoil]>([
  ['missing', (store, folder) => remove(store, `${folder}dataset.tar`)],
  ['cut', (store, folder) => cut(store, `${folder}dataset.tar`)],
  ['changed', (store, folder) => change(store, `${folder}dataset.tar`)],
])('a prepared dataset that is %s is made again', async (_, spoil) => {
  const job = await spoilt(spoil)
  expect(job.document?.status).toBe('COMPLETED')
  expect(job.goneOnFrom).toBe(9)
  expect(job.warnings).toEqual(['the prepared dataset was missing or cut in the store; it is made again'])
})

/** A dataset of real pictures whose prepared copy is lost once the job is charged. */
async function lostAfterCharge(alsoThen: (world: World) => Promise<void>) {
  const world = createWorld({ prepareDataset: 'real' })
  await world.install()
  const images = ['kites/1.jpg', 'kites/2.jpg', 'kites/3.jpg', 'kites/4.jpg']
  const body = await noise().jpeg().toBuffer()
  for (const key of images) await world.store.write({ bucket: 'datasets', key }, body, 'image/jpeg')
  const id = await insertJob(world, {}, { images })
  world.startWorker('worker', {
    async after({ port, verb }) {
      if (port !== 'ledger' || verb !== 'charge') return
      await remove(world.store, `jobs/${id}/dataset.tar`)
      await alsoThen(world)
    },
  })
  await world.clock.runUntil(() => allEnded(world, [id]), 12 * hour)
  expect(await brokenPromises(world, [id])).toEqual([])
  return world.trainings.document(id)
}

test('a prepared dataset that was lost comes out as it was, from the same pictures', async () => {
  expect(await lostAfterCharge(async () => {})).toMatchObject({ status: 'COMPLETED' })
})

test('a dataset that was lost and changed ends the job with a clear sentence, and everything back', async () => {
  const document = await lostAfterCharge(async ({ store }) => {
    const other = await picture().jpeg().toBuffer()
    await store.write({ bucket: 'datasets', key: 'kites/1.jpg' }, other, 'image/jpeg')
  })
  expect(document?.status).toBe('FAILED')
  expect(document?.failureReason).toBe(
    "The dataset can't be trained on: its prepared copy was lost, and it has been changed since this training was planned. Your points have been returned.",
  )
})
