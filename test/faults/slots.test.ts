/** What a worker's slots are given to: what others have left, and the queue. One that has a single slot takes turns. */
import { expect, test } from 'vitest'
import type { Offering } from '../../src/recipes/offerings.ts'
import { allEnded, insertJob } from './jobs.ts'
import { brokenPromises } from './promises.ts'
import { settings } from './settings.ts'
import { createWorld, type Interference, type World } from './world.ts'

const second = 1000
const hour = 3_600_000
/** Of the claim loop in these worlds, with its jitter. */
const twoPolls = 2 * 1200

const until = (world: World, done: () => boolean) => world.clock.runUntil(done, 4 * hour)

async function pass(world: World, milliseconds: number): Promise<void> {
  const end = world.clock.elapsed + milliseconds
  await world.clock.runUntil(() => world.clock.elapsed >= end, milliseconds + hour)
}

/** Jobs in training whose workers have died; their leases have run out. */
async function leftBehind(count: number, concurrency = 1) {
  const world = createWorld({ maxRunning: 50, concurrency, turnMs: () => 3000 })
  await world.install()
  const ids: string[] = []
  for (let number = 0; number < count; number++) ids.push(await insertJob(world))
  const dead = ids.map((_, number) => world.startWorker(`dead ${number}`))
  await until(world, () => ids.every((id) => isTraining(world, id)))
  for (const worker of dead) worker.kill()
  await pass(world, settings.leaseMs + second)
  return { world, ids }
}

const isTraining = (world: World, id: string | undefined) =>
  world.events.some(({ trainingId, kind }) => trainingId === id && kind === 'step')

/** In the order in which the worker took their leases. */
function leasesTaken(taken: string[]): Interference {
  return {
    before({ port, verb, values }) {
      if (port === 'runs' && verb === 'acquire') taken.push(String(values[0]))
    },
  }
}

/** A new job is claimed within two polls; resolves when it has ended. */
async function expectPromptStart(world: World): Promise<void> {
  const before = world.clock.elapsed
  const id = await insertJob(world)
  await until(world, () => world.trainings.document(id)?.status === 'RUNNING')
  expect(world.clock.elapsed - before).toBeLessThan(twoPolls)
  await until(world, () => allEnded(world, [id]))
}

test('those that were left behind and those in the queue go in turn, and all come to their end', async () => {
  const { world, ids: left } = await leftBehind(3)
  const queued: string[] = []
  for (let number = 0; number < 3; number++) queued.push(await insertJob(world))
  const taken: string[] = []
  world.startWorker('single', leasesTaken(taken))
  await until(world, () => allEnded(world, [...left, ...queued]))
  expect(await brokenPromises(world, [...left, ...queued])).toEqual([])
  expect(taken.map((id) => (left.includes(id) ? 'left' : 'queued'))).toEqual([
    ...['left', 'queued', 'left', 'queued', 'left', 'queued'],
  ])
})

test('a job that is left again and again keeps no new one waiting for more than two polls, and is looked at ever more rarely', async () => {
  const { world, ids } = await leftBehind(1)
  const [broken = ''] = ids
  const looks: number[] = []
  world.startWorker('single', {
    before({ port, verb, values }) {
      if (port !== 'trainings' || verb !== 'read' || values[0] !== broken) return
      looks.push(world.clock.elapsed)
      throw new Error('its document is too large to be read')
    },
  })
  await pass(world, 10 * second)
  for (let number = 0; number < 3; number++) await expectPromptStart(world)
  await pass(world, hour)
  expect(looks.filter((at) => at > world.clock.elapsed - hour).length).toBeLessThanOrEqual(60 / 5 + 1)
  expect(looks.length).toBeGreaterThan(5)
})

test('jobs that wait leave the slot to the others', async () => {
  const offering = { ...settings.offerings['sdxl-lora'], base: 'absent' } as Offering
  const offerings = { ...settings.offerings, waiting: offering }
  const world = createWorld({ concurrency: 1, settings: { offerings } })
  await world.install()
  const waiting = [
    await insertJob(world, { offeringId: 'waiting' }),
    await insertJob(world, { offeringId: 'waiting' }),
  ]
  world.startWorker('single')
  await until(world, () =>
    waiting.every((id) => world.events.some(({ trainingId, kind }) => kind === 'held' && trainingId === id)),
  )
  for (let number = 0; number < 3; number++) {
    await expectPromptStart(world)
    await pass(world, 100 * second)
  }
  expect(waiting.map((id) => world.trainings.document(id)?.status)).toEqual(['QUEUED', 'QUEUED'])
})

test('of three slots one is left for the queue, however much was left behind', async () => {
  const { world, ids } = await leftBehind(6, 3)
  const worker = world.startWorker('three slots')
  await pass(world, twoPolls)
  expect(ids.filter((id) => worker.loop.active().includes(id))).toHaveLength(2)
  const before = world.clock.elapsed
  const id = await insertJob(world)
  await until(world, () => world.trainings.document(id)?.status === 'RUNNING')
  expect(world.clock.elapsed - before).toBeLessThan(twoPolls)
  await until(world, () => allEnded(world, [...ids, id]))
})

test('a database that refuses a look is asked again at the next poll, not at once', async () => {
  const world = createWorld()
  let claims = 0
  world.startWorker('worker', {
    before({ port, verb }) {
      if (port !== 'trainings' || verb !== 'claim') return
      claims++
      throw new Error('not primary')
    },
  })
  await pass(world, 60 * second)
  expect(claims).toBeGreaterThan(60 / 1.2 - 2)
  expect(claims).toBeLessThan(60 / 0.8 + 2)
})

test('a job that another was quicker with is a look in vain: told as one, and not taken up', async () => {
  const { world, ids } = await leftBehind(1)
  const [id = ''] = ids
  const worker = world.startWorker('slow', {
    async before({ port, verb }) {
      if (port === 'runs' && verb === 'acquire') await world.runs.acquire(id, 'quick', hour)
    },
  })
  await pass(world, twoPolls)
  expect(world.fruitless).toEqual([id])
  expect(worker.loop.active()).toEqual([])
  await pass(world, 60 * second)
  expect(world.fruitless).toEqual([id])
})
