import { expect, test } from 'vitest'
import { memoryMachines } from '../../src/cloud/memory-machines.ts'
import { type LeakReason, leaksAmong, reap } from '../../src/cloud/reaper.ts'
import type { Run } from '../../src/trainings/runs.ts'
import { attempt, found, name, order, run, trainingId } from './samples.ts'

const now = new Date('2026-11-23T12:00:00Z')
const longAgo = new Date('2026-11-23T10:00:00Z')
const justNow = new Date('2026-11-23T11:55:00Z')

const cases: readonly (readonly [
  string,
  Parameters<typeof found>[0],
  Run | undefined,
  LeakReason | undefined,
])[] = [
  ['a machine of a running attempt', {}, run(), undefined],
  ['a stack of a running attempt', { kind: 'stack' }, run(), undefined],
  ['a machine that no run knows', {}, undefined, 'nobody knows it'],
  ['a machine without our tags', { trainingId: undefined, attempt: undefined }, run(), 'nobody knows it'],
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
  ['a machine at its deadline', {}, run({ attempts: [attempt({ deadline: now })] }), undefined],
  ['a key pair that was made just now', { kind: 'key-pair', createdAt: justNow }, undefined, undefined],
  [
    'a group of unknown age that nobody knows',
    { kind: 'security-group', createdAt: undefined },
    undefined,
    'nobody knows it',
  ],
  ['a stack of unknown age of a running attempt', { kind: 'stack', createdAt: undefined }, run(), undefined],
]

test.each(cases)('%s', (_, change, known, reason) => {
  const runs = new Map(known ? [[known.id, known]] : [])
  const leaks = leaksAmong([found(change)], runs, now)
  expect(leaks.map((leak) => leak.reason)).toEqual(reason ? [reason] : [])
})

const later = new Date(Date.now() + 3_600_000)

async function leakyCloud() {
  const machines = memoryMachines({ now: () => new Date() })
  await machines.order(order(), new AbortController().signal)
  const known = order({ name: 'bellows-665f1c2ab7d4e8a1c0de0002-1', trainingId: '665f1c2ab7d4e8a1c0de0002' })
  await machines.order(known, new AbortController().signal)
  const runs = new Map([
    [known.trainingId, run({ id: known.trainingId, attempts: [attempt({ deadline: later })] })],
  ])
  return { machines, runs: { read: async (id: string) => runs.get(id) }, known }
}

test('the reaper releases what leaked, once a machine, and nothing else', async () => {
  const { machines, runs, known } = await leakyCloud()
  const report = await reap({ machines, runs, now: later })
  expect(report).toMatchObject({ found: 8, dryRun: false, released: [name], failed: [] })
  expect(report.leaks).toHaveLength(4)
  expect(new Set(machines.left().map((thing) => thing.name))).toEqual(new Set([known.name]))
})

test('a dry run reports the same leaks and removes nothing', async () => {
  const { machines, runs } = await leakyCloud()
  const seen: string[] = []
  const report = await reap({
    machines,
    runs,
    now: later,
    dryRun: true,
    onLeak: ({ thing }) => seen.push(thing.kind),
  })
  expect(report.leaks).toHaveLength(4)
  expect(report.released).toEqual([])
  expect(seen.sort()).toEqual(['instance', 'key-pair', 'stack', 'volume'])
  expect(machines.left()).toHaveLength(8)
})

test('what can’t be released is reported, and the rest is released all the same', async () => {
  const { machines } = await leakyCloud()
  const broken = new Error('AWS is away')
  const report = await reap({
    machines: {
      existing: machines.existing,
      release: async (each) => {
        if (each === name) throw broken
        return machines.release(each)
      },
    },
    runs: { read: async () => undefined },
    now: later,
  })
  expect(report.failed).toEqual([{ name, error: broken }])
  expect(report.released).toHaveLength(1)
  expect(new Set(machines.left().map((thing) => thing.trainingId))).toEqual(new Set([trainingId]))
})
