import { describe, expect, test } from 'vitest'
import { Failure, type Reason } from '../../src/failure.ts'
import type { Manifest } from '../../src/models/manifest.ts'
import { runAttempts } from '../../src/pipeline/steps/machines.ts'
import type { Attempt } from '../../src/trainings/runs.ts'
import { attempt, trainingId } from '../cloud/samples.ts'
import { offers, settings } from '../faults/settings.ts'
import { openTestJob } from './open-job.ts'
import { plan } from './plan.ts'

const offer = offers[0] as (typeof offers)[0]
const perHour = 0.35

/** The attempt that a job gets with these. */
async function firstOf(options: Parameters<typeof openTestJob>[0]) {
  const opened = await openTestJob(options)
  const given = Promise.withResolvers<Attempt>()
  await runAttempts(opened.job, plan, async (each) => {
    given.resolve(each)
    return {} as Manifest
  })
  return { ...opened, given: await given.promise, run: await opened.runs.read(trainingId) }
}

const cost = (seconds: number) => ((seconds + 120) / 3600) * perHour
const offering = (maxCostUsd: number) => ({
  offerings: { 'sdxl-lora': { family: 'SDXL', base: 'tiny', pricePoints: 1, maxCostUsd } },
})

describe('a training that ran out of memory', () => {
  const [l4, l40s] = [offer, offers.find(({ gpu }) => gpu === 'L40S')]
  const full = attempt({
    offer: l4,
    failure: { reason: 'out-of-memory', detail: 'container exited with 66' },
  })

  test('gets the next larger GPU, though the same is cheaper', async () => {
    const { given } = await firstOf({
      offers,
      run: { capUsd: 50 },
      attempts: [{ ...full, tornDownAt: new Date() }],
    })
    expect(given.offer).toEqual(l40s)
  })

  test('ends where no larger one is offered, with its own reason', async () => {
    const largest = { ...full, offer: { ...l4, gpu: 'H100', gpuMemoryGb: 80 }, tornDownAt: new Date() }
    await expect(firstOf({ attempts: [largest] })).rejects.toMatchObject({
      reason: 'out-of-memory',
      message: 'container exited with 66; no larger GPU than an H100 is offered',
    })
    const cheap = { offers, run: { capUsd: 0.1 }, attempts: [{ ...full, tornDownAt: new Date() }] }
    await expect(firstOf(cheap)).rejects.toMatchObject({
      reason: 'out-of-memory',
      message: expect.stringContaining('no larger GPU than an L4 costs as little as this training may'),
    })
  })
})

describe('what a job’s machines may cost', () => {
  test('is its estimate’s cost times the factor, and a machine is reserved for the whole of its time', async () => {
    const { given, run, clock } = await firstOf({})
    const estimated = given.estimate?.totalSeconds ?? 0
    expect(estimated).toBeGreaterThan(60)
    expect(run?.capUsd).toBeCloseTo(3 * cost(estimated), 8)
    expect(given.lifetimeSeconds).toBe(3 * estimated)
    expect(given.reservedUsd).toBeCloseTo(cost(3 * estimated), 8)
    expect(given.orderedAt).toEqual(clock.now())
    const latest = clock.now().getTime() + settings.limits.ordering + 3000 * estimated
    expect(given.deadline).toEqual(new Date(latest))
  })

  test('is at most what the offering allows', async () => {
    const { given, run } = await firstOf({ settings: offering(0.9) as object })
    expect(run?.capUsd).toBe(0.9)
    expect(given.reservedUsd).toBeCloseTo(0.9, 3)
  })

  test('is at most what the operator allows', async () => {
    const { given, run } = await firstOf({ settings: { ...offering(0.9), maxJobUsd: 0.8 } as object })
    expect(run?.capUsd).toBe(0.8)
    expect(given.reservedUsd).toBeCloseTo(0.8, 3)
  })

  test('counts what earlier machines cost, and what is reserved for those that may be there', async () => {
    const costing = (fields: Partial<Attempt>) =>
      attempt({ failure: { reason: 'machine-lost', detail: 'gone' }, ...fields })
    const attempts = [
      costing({
        failure: { reason: 'trainer-crashed', detail: 'gone' },
        costUsd: 0.2,
        tornDownAt: new Date(),
      }),
      costing({ number: 2, reservedUsd: 0.3, suspectedLeak: true }),
    ]
    const { given } = await firstOf({ run: { capUsd: 1.4 }, attempts })
    expect(given.number).toBe(3)
    expect(given.reservedUsd).toBeCloseTo(0.9, 3)
    const spent = firstOf({ run: { capUsd: 0.51 }, attempts })
    await expect(spent).rejects.toMatchObject({
      reason: 'over-budget',
      message: expect.stringContaining('$0.01 of $0.51 is left'),
    })
  })

  test('pays for no machine whose time would not suffice', async () => {
    const { given } = await firstOf({})
    const needed = cost(given.estimate?.totalSeconds ?? 0)
    expect((await firstOf({ run: { capUsd: needed * 1.001 } })).given.number).toBe(1)
    await expect(firstOf({ run: { capUsd: needed * 0.999 } })).rejects.toMatchObject({
      reason: 'over-budget',
    })
  })
})

test('three orders that were refused cost nothing, and leave the fourth all of the time', async () => {
  const zones = ['a', 'b', 'c', 'd'].map((zone) => ({ ...offer, zone }))
  const { job, runs, budget, clock } = await openTestJob({ offers: zones })
  const seen: Attempt[] = []
  await runAttempts(job, plan, async (each) => {
    seen.push(each)
    await budget.reserve({ key: each.name, usd: each.reservedUsd }, settings.budget, clock.now())
    await clock.advance(16 * 60_000)
    if (seen.length < 4) throw new Failure('no-capacity', 'none is free')
    return {} as Manifest
  })
  expect(new Set(seen.map(({ lifetimeSeconds }) => lifetimeSeconds)).size).toBe(1)
  const attempts = (await runs.read(trainingId))?.attempts ?? []
  expect(attempts.slice(0, 3).map(({ costUsd }) => costUsd)).toEqual([0, 0, 0])
  expect((await budget.spending(clock.now())).spent.dayUsd).toBe(0)
})

describe('an offer', () => {
  const tried = (reason: Reason, number = 1) =>
    attempt({
      number,
      offer,
      costUsd: 0,
      tornDownAt: new Date(),
      failure: { reason, detail: 'as it was' },
    })

  test.each([
    [['no-capacity'], false],
    [['machine-broken'], false],
    [['machine-lost'], true],
    [['machine-lost', 'machine-lost'], false],
    [['trainer-crashed', 'step-overran'], true],
  ] as const)('after %j is taken again: %s', async (reasons, again) => {
    const dearer = { ...offer, zone: 'us-east-1b', usdPerHour: 0.4 }
    const attempts = reasons.map((reason, index) => tried(reason, index + 1))
    const { given } = await firstOf({ attempts, offers: [offer, dearer] })
    expect(given.offer).toEqual(again ? offer : dearer)
  })

  test.each([{ type: 'g5.xlarge' }, { zone: 'us-east-1b' }, { market: 'on-demand' }] as const)(
    'is another’s with %j',
    async (change) => {
      const other = { ...offer, ...change }
      const { given } = await firstOf({ attempts: [tried('no-capacity')], offers: [offer, other] })
      expect(given.offer).toEqual(other)
    },
  )

  test('that is out of stock is reported with what was tried', async () => {
    const refused = { attempts: [tried('no-capacity')], offers: [offer] }
    await expect(firstOf(refused)).rejects.toMatchObject({
      reason: 'no-capacity',
      message: 'none is free of g6.xlarge (spot)',
      evidence: expect.stringContaining('as it was'),
    })
  })

  test('is not looked for when as many machines as a job may have were ordered', async () => {
    const attempts = [tried('machine-lost', 1), tried('trainer-crashed', 2)]
    await expect(firstOf({ attempts, settings: { maxAttempts: 2 } })).rejects.toMatchObject({
      reason: 'trainer-crashed',
    })
    const refused = [...attempts, tried('no-capacity', 3), tried('no-capacity', 4)]
    const elsewhere = { ...offer, zone: 'us-east-1b' }
    const options = { attempts: refused, offers: [elsewhere], settings: { maxAttempts: 3 } }
    expect((await firstOf(options)).given.number).toBe(5)
    expect((await firstOf({ attempts, settings: { maxAttempts: 3 } })).given.number).toBe(3)
    const waited = [tried('machine-lost', 1), tried('budget-used-up', 2)]
    expect((await firstOf({ attempts: waited, settings: { maxAttempts: 2 } })).given.number).toBe(3)
  })
})

test.each([
  ['no-capacity', 25],
  ['machine-lost', 6],
  ['machine-broken', 4],
  ['trainer-crashed', 2],
  ['bad-artifact', 1],
] as const)('a job that ends each time for %s has had %i machines', async (reason, count) => {
  const everywhere = Array.from({ length: 40 }, (_, zone) => ({ ...offer, zone: `zone-${zone}` }))
  const { job } = await openTestJob({ offers: everywhere, settings: { maxAttempts: 100 } })
  let machines = 0
  const failing = runAttempts(job, plan, async () => {
    machines++
    throw new Failure(reason, 'again')
  })
  await expect(failing).rejects.toMatchObject({ reason })
  expect(machines).toBe(count)
})
