import { expect, test } from 'vitest'
import { type LeakReason, leaksAmong, reap } from '../../src/operations/reaper.ts'
import { type Attempt, type Lease, LeaseLost, type Run } from '../../src/trainings/runs.ts'
import { attempt, found, name, order, run } from '../cloud/samples.ts'
import { type MemoryMachines, memoryMachines } from '../fakes/memory-machines.ts'
import { memoryRuns } from '../fakes/memory-runs.ts'
import { manualClock } from '../support/manual-clock.ts'

const now = new Date('2026-11-23T12:00:00Z')
const longAgo = new Date('2026-11-23T10:00:00Z')
const justNow = new Date('2026-11-23T11:55:00Z')
/** Minutes. */
const ago = (minutes: number) => new Date(now.getTime() - minutes * 60_000)

const cases: readonly (readonly [
  string,
  Parameters<typeof found>[0],
  Run | undefined,
  LeakReason | undefined,
])[] = [
  ['a machine of a running attempt', {}, run(), undefined],
  ['a stack of a running attempt', { kind: 'stack' }, run(), undefined],
  ['a machine that no run knows', {}, undefined, 'no run knows it'],
  ['a machine without our tags', { trainingId: undefined, attempt: undefined }, run(), 'no run knows it'],
  ['a machine of an ended run', {}, run({ endedAt: longAgo }), 'its run has ended'],
  [
    'a disk of an attempt that is torn down',
    { kind: 'volume' },
    run({ attempts: [attempt({ tornDownAt: longAgo })] }),
    'its attempt is torn down',
  ],
  ['a machine of an attempt that was never written', { attempt: 2 }, run(), 'its attempt was never written'],
  [
    'a machine long past its deadline',
    {},
    run({ attempts: [attempt({ deadline: longAgo })] }),
    'its deadline has passed',
  ],
  ['a machine 14 min past its deadline', {}, run({ attempts: [attempt({ deadline: ago(14) })] }), undefined],
  [
    'a machine 16 min past its deadline',
    {},
    run({ attempts: [attempt({ deadline: ago(16) })] }),
    'its deadline has passed',
  ],
  ['an unknown key pair of 9 min', { kind: 'key-pair', createdAt: ago(9) }, undefined, undefined],
  ['an unknown key pair of 11 min', { kind: 'key-pair', createdAt: ago(11) }, undefined, 'no run knows it'],
  ['a key pair that was made just now', { kind: 'key-pair', createdAt: justNow }, undefined, undefined],
  [
    'an unknown group of unknown age',
    { kind: 'security-group', createdAt: undefined },
    undefined,
    'no run knows it',
  ],
  ['a stack of unknown age of a running attempt', { kind: 'stack', createdAt: undefined }, run(), undefined],
]

test.each(cases)('%s', (_, change, known, reason) => {
  const runs = new Map(known ? [[known.id, known]] : [])
  const leaks = leaksAmong([found(change)], runs, now)
  expect(leaks.map((leak) => leak.reason)).toEqual(reason ? [reason] : [])
})

const knownId = '665f1c2ab7d4e8a1c0de0002'
const knownName = `bellows-${knownId}-1`
const minute = 60_000

/** An unknown machine, and one of a run that is under way; an hour old. */
async function cloudOf(change: Partial<Attempt> = {}) {
  const clock = manualClock()
  const runs = memoryRuns(clock.now)
  const gate: { wait?: Promise<void> } = {}
  const machines = memoryMachines({
    now: clock.now,
    moment: ({ verb, point }) => (verb === 'release' && point === 'asked' ? gate.wait : undefined),
  })
  const forever = new AbortController().signal
  const deadline = new Date(clock.now().getTime() + 240 * minute)
  const wanted = { lifetimeSeconds: 1e6, deadline: new Date(clock.now().getTime() + 1e9) }
  await machines.order(order(wanted), forever)
  await machines.order(order({ ...wanted, name: knownName, trainingId: knownId }), forever)
  const held = await runs.acquire(knownId, 'worker', minute)
  if (!held) throw new Error('nobody else is there')
  await runs.addAttempt(held.lease, attempt({ name: knownName, deadline, ...change }))
  const parts = { machines, runs, clock, worker: 'reaper', leaseMs: minute }
  await clock.advance(60 * minute)
  return { clock, runs, machines, parts, lease: held.lease, gate }
}

const namesLeft = (machines: MemoryMachines) => [...new Set(machines.left().map((thing) => thing.name))]

test('the reaper releases what leaked, once a machine, and nothing else', async () => {
  const { machines, parts } = await cloudOf()
  const report = await reap(parts)
  expect(report).toMatchObject({ found: 10, dryRun: false, released: [name], skipped: [], failed: [] })
  expect(report.leaks).toHaveLength(5)
  expect(namesLeft(machines)).toEqual([knownName])
})

test('a dry run reports the same leaks and removes nothing', async () => {
  const { machines, parts } = await cloudOf()
  const seen: string[] = []
  const report = await reap({ ...parts, dryRun: true, onLeak: ({ thing }) => seen.push(thing.kind) })
  expect(report.leaks).toHaveLength(5)
  expect(report.released).toEqual([])
  expect(seen.sort()).toEqual(['instance', 'key-pair', 'security-group', 'stack', 'volume'])
  expect(machines.left()).toHaveLength(10)
})

test('what can’t be released is reported, and the rest is released all the same', async () => {
  const { machines, parts } = await cloudOf({ tornDownAt: longAgo })
  const broken = new Error('AWS is away')
  const release = async (each: string) => {
    if (each === name) throw broken
    return machines.release(each)
  }
  const report = await reap({ ...parts, machines: { existing: machines.existing, release } })
  expect(report.failed).toEqual([{ name, error: broken }])
  expect(report.released).toEqual([knownName])
  expect(namesLeft(machines)).toEqual([name])
})

test('nothing of a run is removed while another holds its lease', async () => {
  const { machines, parts, runs } = await cloudOf({ tornDownAt: longAgo })
  const held = await runs.acquire(knownId, 'worker', 60 * minute)
  const report = await reap(parts)
  expect(report).toMatchObject({ released: [name], skipped: [knownName], failed: [] })
  expect(namesLeft(machines)).toEqual([knownName])
  await runs.release((held as { lease: Lease }).lease)
  expect(await reap(parts)).toMatchObject({ released: [knownName], skipped: [] })
})

test('what a worker wrote before the lease was taken is judged again', async () => {
  const { machines, parts, runs } = await cloudOf({ deadline: longAgo })
  const read = async (id: string) => {
    const seen = await runs.read(id)
    const held = await runs.acquire(knownId, 'worker', minute)
    if (!held) throw new Error('nobody else is there')
    await runs.changeAttempt(held.lease, 1, { deadline: new Date(Date.now() + 1e12) })
    await runs.release(held.lease)
    return seen
  }
  const report = await reap({
    ...parts,
    runs: { ...runs, read: (id) => (id === knownId ? read(id) : runs.read(id)) },
  })
  expect(report.leaks.map(({ thing }) => thing.name)).toContain(knownName)
  expect(report.skipped).toEqual([knownName])
  expect(namesLeft(machines)).toEqual([knownName])
})

test('the lease is held for as long as the release takes, and then let go', async () => {
  const { clock, parts, runs, gate } = await cloudOf({ tornDownAt: longAgo })
  const going = Promise.withResolvers<void>()
  gate.wait = going.promise
  const reaping = reap(parts)
  await clock.advance(15 * minute)
  expect(runs.isHeld(knownId)).toBe(true)
  expect(await runs.acquire(knownId, 'worker', minute)).toBeUndefined()
  going.resolve()
  expect(await reaping).toMatchObject({ released: expect.arrayContaining([knownName]) })
  expect(runs.isHeld(knownId)).toBe(false)
  expect(clock.sleepers).toBe(0)
})

/** What comes of a reaping whose lease can't be renewed while a machine is being released. */
async function reapedWhere(renew: (lease: Lease) => Promise<never>) {
  const { clock, parts, runs, gate } = await cloudOf({ tornDownAt: longAgo })
  const going = Promise.withResolvers<void>()
  gate.wait = going.promise
  const told: string[] = []
  const onReleased = async (each: string) => void told.push(each)
  const reaping = reap({ ...parts, runs: { ...runs, renew }, onReleased })
  await clock.advance(minute)
  going.resolve()
  return { report: await reaping, told }
}

test('a reaper whose lease could not be renewed in time does not report the machine as gone', async () => {
  const { report, told } = await reapedWhere(async () => {
    throw new Error('the database is away')
  })
  expect(report).toMatchObject({ released: [name], skipped: [knownName] })
  expect(told).toEqual([name])
})

test('one that learns that its lease is lost does not report the machine as gone', async () => {
  const { report, told } = await reapedWhere(async (lease) => {
    throw new LeaseLost(lease)
  })
  expect(report).toMatchObject({ released: [name], skipped: [knownName], failed: [] })
  expect(told).toEqual([name])
})

test('a run of another deployment in the same database is left alone', async () => {
  const { machines, parts, runs } = await cloudOf({ tornDownAt: longAgo })
  const report = await reap({ ...parts, runs: { ...runs.as('another'), read: runs.read } })
  expect(report.skipped).toEqual([knownName])
  expect(namesLeft(machines)).toEqual([knownName])
})

test('several machines of one run are released under one lease', async () => {
  const { machines, parts, runs } = await cloudOf({ tornDownAt: longAgo })
  const second = `bellows-${knownId}-2`
  const order2 = order({ name: second, trainingId: knownId, attempt: 2, lifetimeSeconds: 1e6 })
  await machines.order({ ...order2, deadline: new Date(Date.now() + 1e12) }, new AbortController().signal)
  await parts.clock.advance(20 * minute)
  let acquired = 0
  const acquire: typeof runs.acquire = (...values) => {
    acquired++
    return runs.acquire(...values)
  }
  const report = await reap({ ...parts, runs: { ...runs, acquire } })
  expect([...report.released].sort()).toEqual([name, knownName, second].sort())
  expect(acquired).toBe(1)
})
