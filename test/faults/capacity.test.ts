/** Droughts and quotas: a job takes what there is, and waits for what there isn't, for as long as the operator says. */
import { BSON } from 'mongodb'
import { expect, test } from 'vitest'
import { quotaOf } from '../../src/cloud/quotas.ts'
import { allEnded, insertJob } from './jobs.ts'
import { brokenPromises } from './promises.ts'
import { offers as usual } from './settings.ts'
import { createWorld, type World, type WorldOptions } from './world.ts'

const minute = 60_000
const hour = 60 * minute
const [l4] = usual as [(typeof usual)[0]]
const h100 = { ...l4, type: 'p5.4xlarge', gpu: 'H100', gpuMemoryGb: 80, usdPerHour: 0.9 }

/** Spot machines in four zones and one on demand, dearer than all of them. */
const offers = [
  ...['a', 'b', 'c', 'd'].map((zone) => ({ ...l4, zone: `us-east-1${zone}` })),
  { ...l4, market: 'on-demand' as const, usdPerHour: 0.6 },
]

async function queued(options: WorldOptions = {}) {
  const world = createWorld({
    offers,
    ...options,
    settings: { capacityWaitMs: 24 * hour, ...options.settings },
  })
  await world.install()
  const id = await insertJob(world)
  world.startWorker('worker')
  return { world, id }
}

async function ended(world: World, id: string, limit = 48 * hour) {
  await world.clock.runUntil(() => allEnded(world, [id]), limit)
  expect(await brokenPromises(world, [id])).toEqual([])
  return { run: await world.runs.read(id), document: world.trainings.document(id) }
}

async function untilHeld(world: World, id: string) {
  const isHeld = () => world.events.some(({ kind, data }) => kind === 'held' && data?.until)
  await world.clock.runUntil(() => isHeld() && world.trainings.document(id)?.status === 'QUEUED', hour)
  const run = await world.runs.read(id)
  if (!run?.hold) throw new Error('it waits for nothing')
  return run
}

const nothing = (world: World) => {
  world.machines.drought('spot', true)
  world.machines.drought('on-demand', true)
}

test('without spot capacity, the same round gets a machine on demand after three refusals', async () => {
  const { world, id } = await queued()
  world.machines.drought('spot', true)
  const { run } = await ended(world, id)
  expect(run?.outcome?.ending).toBe('trained')
  expect(run?.attempts.map(({ offer }) => offer.market)).toEqual(['spot', 'spot', 'spot', 'on-demand'])
  expect(world.events.some(({ kind }) => kind === 'held')).toBe(false)
})

test('a quota of 0 is asked once a round, and the other market is tried at once', async () => {
  const { world, id } = await queued()
  world.machines.quota(quotaOf(l4), 0)
  const { run } = await ended(world, id)
  expect(run?.outcome?.ending).toBe('trained')
  expect(run?.attempts.map(({ offer }) => offer.market)).toEqual(['spot', 'on-demand'])
})

test('a deployment with a quota for one family only trains on that', async () => {
  const { world, id } = await queued({ offers: [...offers, h100] })
  for (const market of ['spot', 'on-demand'] as const) world.machines.quota(quotaOf({ ...l4, market }), 0)
  const { run } = await ended(world, id)
  expect(run?.outcome?.ending).toBe('trained')
  expect(run?.attempts.map(({ offer }) => offer.gpu)).toEqual(['L4', 'L4', 'H100'])
})

test('where there is no capacity the job waits in the queue, and trains when there is some', async () => {
  const { world, id } = await queued({ settings: { maxAttempts: 2 } })
  for (const market of ['spot', 'on-demand'] as const) world.machines.quota(quotaOf({ ...l4, market }), 0)
  const waiting = await untilHeld(world, id)
  expect(waiting.hold?.reason).toBe(
    'the account’s quota “All G and VT Spot Instance Requests” in us-east-1 and “Running On-Demand G and VT instances” in us-east-1 allows no more: ask AWS to raise it',
  )
  expect(waiting.hold?.until.getTime()).toBeGreaterThan(world.clock.now().getTime())
  expect(waiting.attempts).toEqual([])
  expect(waiting.chargedPoints).toBe(1000) // kept, as in any other wait
  expect(world.machines.left()).toEqual([])
  expect(world.trainings.slots()).toEqual([])

  await world.clock.runUntil(() => world.clock.elapsed > 5 * hour, 6 * hour)
  for (const market of ['spot', 'on-demand'] as const)
    world.machines.quota(quotaOf({ ...l4, market }), undefined)
  const { run, document } = await ended(world, id)
  expect(document?.status).toBe('COMPLETED')
  expect(run?.attempts).toHaveLength(1)
  expect(run?.attempts[0]?.number).toBeGreaterThan(50)
  expect(world.machines.made()).toHaveLength(1)
})

test('where no machine fits at all the job waits, uncharged for any, and says what it needs', async () => {
  const world = createWorld({ offers: [] })
  await world.install()
  const id = await insertJob(world)
  world.startWorker('worker')
  await world.clock.runUntil(() => world.clock.elapsed > 60_000, 3_600_000)
  expect(world.trainings.document(id)?.status).toBe('QUEUED')
  expect((await world.runs.read(id))?.hold?.reason).toMatch(/no machine with a GPU of \d+ GB is offered/)
  expect(world.machines.made()).toEqual([])
})

test('one that waits and is found RUNNING without a slot goes back to the queue, not past the limit', async () => {
  const { world, id } = await queued({ maxRunning: 1 })
  nothing(world)
  await untilHeld(world, id)
  world.machines.drought('on-demand', false)
  const other = await insertJob(world)
  await world.clock.runUntil(() => world.machines.made().some(({ running }) => running), hour)
  world.trainings.set(id, { status: 'RUNNING' }) // as the worker leaves it that dies between the slot and the document
  await world.clock.runUntil(() => allEnded(world, [id, other]), 4 * hour)
  expect(world.mostRunning()).toBe(1)
  expect(await brokenPromises(world, [id, other])).toEqual([])
  expect([id, other].map((each) => world.trainings.document(each)?.status)).toEqual([
    'COMPLETED',
    'COMPLETED',
  ])
})

test('one that is claimed and put back before its worker begins is left to the queue', async () => {
  const world = createWorld({ offers, maxRunning: 1, settings: { capacityWaitMs: 24 * hour } })
  await world.install()
  const id = await insertJob(world)
  nothing(world)
  const first = world.startWorker('first')
  await untilHeld(world, id)
  first.kill()
  world.machines.drought('on-demand', false)
  let other = ''
  const slow = world.startWorker('slow', {
    async after({ verb }) {
      if (other || verb !== 'claim' || world.trainings.document(id)?.status !== 'RUNNING') return
      other = await insertJob(world, { createdAt: new Date(0) }) // before it in the queue
      world.startWorker('quick')
      await world.clock.sleep(1500)
    },
  })
  await world.clock.runUntil(() => other !== '' && allEnded(world, [id, other]), 8 * hour)
  expect(slow.isAlive()).toBe(true)
  expect(world.mostRunning()).toBe(1)
  expect(await brokenPromises(world, [id, other])).toEqual([])
})

test('one that is looked at while it is put back is left to the queue', async () => {
  const world = createWorld({ offers, maxRunning: 1, settings: { capacityWaitMs: 24 * hour } })
  await world.install()
  const id = await insertJob(world)
  nothing(world)
  let isPuttingBack = false
  world.startWorker('first', {
    async before({ verb, values }) {
      if (verb !== 'releaseSlot' || isPuttingBack) return
      isPuttingBack = true
      expect(values).toEqual([id])
      await world.clock.sleep(3000)
    },
  })
  const acquired = Promise.withResolvers<void>()
  world.startWorker('second', {
    async before({ verb }) {
      if (verb !== 'acquire' || !isPuttingBack) return
      acquired.resolve()
      await world.clock.sleep(5000)
    },
  })
  void acquired.promise.then(() => world.machines.drought('on-demand', false))
  await world.clock.runUntil(() => world.clock.elapsed > 5 * minute, hour)
  expect(world.machines.made()).toEqual([])
  expect(world.trainings.document(id)?.status).toBe('QUEUED')
})

test('after the time to wait it ends, refunded, with a sentence that says why', async () => {
  const { world, id } = await queued()
  nothing(world)
  const { run, document } = await ended(world, id)
  expect(run?.outcome?.ending).toBe('no-capacity')
  expect(world.clock.elapsed).toBeGreaterThanOrEqual(24 * hour)
  expect(world.clock.elapsed).toBeLessThan(25 * hour)
  expect(document?.failureReason).toBe(
    'No GPU machine was available (none is free of g6.xlarge (on demand), g6.xlarge (spot)). Please try again later. Your points have been returned.',
  )
  const movements = await world.ledger.movements(id)
  expect(movements.reduce((sum, { points }) => sum + points, 0)).toBe(0)
})

test('a day of waiting leaves a small document and a short timeline', async () => {
  const everywhere = ['a', 'b', 'c'].flatMap((zone) =>
    ['g6.xlarge', 'g5.xlarge'].flatMap((type) => [
      { ...l4, type, zone },
      { ...l4, type, zone, market: 'on-demand' as const, usdPerHour: 0.6 },
    ]),
  )
  const { world, id } = await queued({ offers: everywhere })
  nothing(world)
  let largest = 0
  for (let hours = 1; hours < 24; hours++) {
    await world.clock.runUntil(() => world.clock.elapsed > hours * hour, 2 * hour)
    largest = Math.max(largest, BSON.calculateObjectSize((await world.runs.read(id)) ?? {}))
  }
  expect(largest).toBeLessThan(64 * 1024)
  const waiting = (await world.runs.read(id))?.waiting
  const refused = Object.values(waiting?.refusals ?? {}).reduce((sum, each) => sum + each, 0)
  expect(refused).toBeGreaterThan(1000)
  const held = (await world.timeline.read(id)).filter(({ kind }) => kind === 'held')
  expect(held).toHaveLength(1)
  const events = (await world.timeline.read(id)).length
  expect(events).toBeLessThan(100)

  world.machines.quota(quotaOf(l4), 0)
  await world.clock.runUntil(() => world.clock.elapsed > 23.5 * hour, 2 * hour)
  const reasons = (await world.timeline.read(id)).filter(({ kind }) => kind === 'held')
  expect(reasons.map(({ message }) => message)).toEqual([
    expect.stringMatching(/^waits: none is free of g5\.xlarge/),
    expect.stringMatching(/All G and VT Spot Instance Requests/),
  ])
  await ended(world, id)
})

test('an order that takes too long is no capacity there: the next offer is asked', async () => {
  const slow = new Set<string>()
  let world: World | undefined
  const options: WorldOptions = {
    async moment({ verb, point, name = '', offer }) {
      if (verb !== 'order' || point !== 'key-pair' || offer?.zone !== 'us-east-1a') return
      slow.add(name)
      await world?.clock.sleep(6 * minute)
    },
  }
  const opened = await queued(options)
  world = opened.world
  const { run } = await ended(world, opened.id)
  expect(run?.outcome?.ending).toBe('trained')
  expect(slow.size).toBe(1)
  expect(run?.attempts[0]?.failure).toMatchObject({
    reason: 'no-capacity',
    detail: expect.stringContaining('ordering took longer than 5 min'),
  })
})

test('a wait for the machine after the first leaves its checkpoint, its cost and the cap as they are', async () => {
  const { world, id } = await queued()
  await world.clock.runUntil(() => world.machines.made().length === 1, hour)
  await world.clock.runUntil(() => {
    const [machine] = world.machines.made()
    return Boolean(machine && world.inside(machine.name)?.trainers.size)
  }, hour)
  nothing(world)
  const [machine] = world.machines.made()
  world.inside(machine?.name ?? '')?.lose()
  world.machines.lose(machine?.name ?? '')
  const waiting = await untilHeld(world, id)
  expect(waiting.attempts.map(({ failure }) => failure?.reason)).toEqual(['machine-lost'])
  const { capUsd } = waiting
  world.machines.drought('spot', false)
  const { run } = await ended(world, id)
  expect(run?.outcome?.ending).toBe('trained')
  expect(run?.capUsd).toBe(capUsd)
  expect(run?.attempts).toHaveLength(2)
})
