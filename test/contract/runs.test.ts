import { beforeEach, describe, expect, test } from 'vitest'
import type { Offer } from '../../src/cloud/machines.ts'
import type { Family } from '../../src/family.ts'
import type { Plan } from '../../src/recipes/plan.ts'
import { recipes } from '../../src/recipes/registry.ts'
import { createIndexes } from '../../src/trainings/indexes.ts'
import { mongoRuns } from '../../src/trainings/mongo-runs.ts'
import { mongoTimeline } from '../../src/trainings/mongo-timeline.ts'
import {
  type Attempt,
  type Lease,
  LeaseLost,
  nextNumber,
  type RunChange,
  type Runs,
} from '../../src/trainings/runs.ts'
import type { Timeline } from '../../src/trainings/timeline.ts'
import { offer as sampleOffer } from '../cloud/samples.ts'
import { memoryRuns } from '../fakes/memory-runs.ts'
import { memoryTimeline } from '../fakes/memory-timeline.ts'
import { planInput } from '../recipes/samples.ts'
import { describeBoth } from './worlds.ts'

const id = 'e'.repeat(24)
const minute = 60_000
/** A lease that is over as soon as it is given. */
const over = 0

const offer = sampleOffer()

function attempt(number: number): Attempt {
  const at = new Date('2026-11-23T12:00:00Z')
  return { number, name: `bellows-${id}-${number}`, offer, orderedAt: at, deadline: at, reservedUsd: 1 }
}

function planOf(family: Family): Plan {
  return recipes[family].plan({
    ...planInput,
    trainingId: id,
    name: 'kite-eeeeee',
    triggerWord: null,
    captions: [],
  })
}

describeBoth('runs', (world) => {
  let runs: Runs
  let others: Runs
  let timeline: Timeline

  beforeEach(async () => {
    if (world.name === 'memory') {
      const memory = memoryRuns()
      runs = memory
      others = memory.as('another')
      timeline = memoryTimeline()
      return
    }
    await world.db().dropDatabase()
    await createIndexes(world.db())
    runs = mongoRuns(world.db(), 'bellows-test')
    others = mongoRuns(world.db(), 'another')
    timeline = mongoTimeline(world.db())
  })

  async function acquire(owner = 'one', ttlMs = minute) {
    const held = await runs.acquire(id, owner, ttlMs)
    if (!held) throw new Error(`${owner} did not get the lease`)
    return held
  }

  test('tell the time that leases are judged by', async () => {
    const before = Date.now() - minute
    const times = [await runs.now(), await runs.now()].map(Number)
    expect(times).toEqual([...times].sort())
    expect(times[0]).toBeGreaterThan(before)
    expect(times[1]).toBeLessThan(Date.now() + minute)
  })

  test('the first acquisition makes the run', async () => {
    const { lease, run } = await acquire()
    expect(lease).toEqual({ trainingId: id, owner: 'one', token: 1 })
    expect(run).toEqual({
      id,
      number: 1,
      deployment: 'bellows-test',
      phase: 'claimed',
      attempts: [],
      earlierAttempts: [],
      crashes: 0,
      startedAt: expect.any(Date),
      phaseTimes: { claimed: expect.any(Date) },
    })
    expect(await runs.read(id)).toEqual({ ...run, heldBy: 'one' })
  })

  test('a lease that is held can’t be acquired, not even by its owner again', async () => {
    await acquire()
    expect(await runs.acquire(id, 'two', minute)).toBeUndefined()
    expect(await runs.acquire(id, 'one', minute)).toBeUndefined()
  })

  test('of twenty who want it one gets the lease', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => runs.acquire(id, `worker ${index}`, minute)),
    )
    expect(answers.filter((answer) => answer !== undefined)).toHaveLength(1)
  })

  test('an expired lease is free to acquire, and its old token no longer writes anything', async () => {
    const { lease: stale } = await acquire('one', over)
    const { lease } = await acquire('two')
    expect(lease.token).toBe(2)
    await expect(runs.renew(stale, minute)).rejects.toBeInstanceOf(LeaseLost)
    await expect(runs.change(stale, { phase: 'charged' })).rejects.toBeInstanceOf(LeaseLost)
    await expect(runs.addAttempt(stale, attempt(1))).rejects.toBeInstanceOf(LeaseLost)
    await expect(runs.changeAttempt(stale, 1, { host: 'x' })).rejects.toBeInstanceOf(LeaseLost)
    await runs.release(stale)
    expect(await runs.acquire(id, 'three', minute)).toBeUndefined()
    expect(await runs.read(id)).toMatchObject({ phase: 'claimed', attempts: [] })
  })

  test('the same worker’s earlier lease is stale as well', async () => {
    const { lease: stale } = await acquire('one', over)
    await acquire('one')
    await expect(runs.change(stale, { faults: { internal: 1 } })).rejects.toBeInstanceOf(LeaseLost)
  })

  test('tell who holds a run, as long as the lease is live', async () => {
    const { lease } = await acquire('one')
    expect((await runs.read(id))?.heldBy).toBe('one')
    expect((await others.read(id))?.heldBy).toBe('one')
    expect((await runs.recent(1)).map(({ heldBy }) => heldBy)).toEqual(['one'])
    expect(await runs.change(lease, { lastStep: 1 })).not.toHaveProperty('heldBy')
    await runs.renew(lease, over)
    expect(await runs.read(id)).not.toHaveProperty('heldBy')
    const second = await acquire('two')
    expect((await runs.read(id))?.heldBy).toBe('two')
    await runs.release(second.lease)
    expect((await runs.recent(1))[0]).not.toHaveProperty('heldBy')
  })

  test('a renewed lease holds', async () => {
    const { lease } = await acquire('one', over)
    await runs.renew(lease, minute)
    expect(await runs.acquire(id, 'two', minute)).toBeUndefined()
  })

  test('a released lease can be taken at once, with the next token', async () => {
    const { lease } = await acquire()
    await runs.release(lease)
    await expect(runs.change(lease, { faults: { internal: 1 } })).rejects.toBeInstanceOf(LeaseLost)
    expect((await acquire('two')).lease.token).toBe(2)
  })

  test('phases go forward only, and each is stamped once', async () => {
    const { lease } = await acquire()
    const trained = await runs.change(lease, { phase: 'trained', lastStep: 7 })
    const back = await runs.change(lease, { phase: 'charged' })
    expect(back.phase).toBe('trained')
    const again = await runs.change(lease, { phase: 'trained' })
    expect(again.phaseTimes.trained).toEqual(trained.phaseTimes.trained)
    const end = await runs.change(lease, { phase: 'torn down' })
    expect(Object.keys(end.phaseTimes)).toEqual(expect.arrayContaining(['claimed', 'trained', 'torn down']))
  })

  test('fields keep their values as they are, dollar signs and all, and undefined changes nothing', async () => {
    const { lease } = await acquire()
    const sentence = '$attempts cost $5'
    const outcome = { ending: 'internal', sentence, refundPoints: 5, decidedAt: new Date(0) } as const
    await runs.change(lease, { chargedPoints: 5, capUsd: 1.5, modelId: '$phase' })
    const run = await runs.change(lease, { outcome, chargedPoints: undefined } as object)
    expect(run).toMatchObject({ chargedPoints: 5, capUsd: 1.5, modelId: '$phase', outcome })
  })

  test('the outcome is decided once', async () => {
    const { lease } = await acquire()
    const decided = { ending: 'trained', sentence: 'one', refundPoints: 0, decidedAt: new Date(0) } as const
    await runs.change(lease, { outcome: decided })
    const run = await runs.change(lease, { outcome: { ...decided, ending: 'internal', sentence: 'two' } })
    expect(run.outcome).toEqual(decided)
  })

  test('an attempt is added once, changed by its number, and found until it is torn down', async () => {
    const { lease } = await acquire()
    await runs.addAttempt(lease, attempt(1))
    await runs.addAttempt(lease, { ...attempt(1), reservedUsd: 99 })
    const run = await runs.addAttempt(lease, attempt(2))
    expect(run.attempts).toEqual([attempt(1), attempt(2)])
    await runs.changeAttempt(lease, 2, { host: '10.0.0.1', instanceId: undefined } as object)
    await runs.changeAttempt(lease, 1, { tornDownAt: new Date(0), costUsd: 0.2 })
    expect((await runs.withMachines()).map((each) => each.id)).toEqual([id])
    const last = await runs.changeAttempt(lease, 2, { tornDownAt: new Date(0) })
    expect(last.attempts[1]).toEqual({ ...attempt(2), host: '10.0.0.1', tornDownAt: new Date(0) })
    expect(await runs.withMachines()).toEqual([])
  })

  test('an attempt is told of in the write that adds or changes it, and a repeated order is told once', async () => {
    const { lease } = await acquire()
    const event = { trainingId: id, worker: 'one', token: 1, kind: 'attempt', message: '$$NOW' }
    const added = await runs.addAttempt(lease, attempt(1), event)
    expect(added.lastEvent).toEqual({ ...event, number: 1, at: expect.any(Date) })
    const again = await runs.addAttempt(lease, attempt(1), { ...event, message: 'again' })
    expect(again.lastEvent).toEqual(added.lastEvent)
    const gone = { ...event, message: 'gone', data: { costUsd: 0.2 } }
    const changed = await runs.changeAttempt(lease, 1, { costUsd: 0.2 }, gone)
    expect(changed).toMatchObject({ attempts: [{ costUsd: 0.2 }], lastEvent: { ...gone, number: 2 } })
    expect((await runs.changeAttempt(lease, 1, { host: '$x' })).lastEvent).toMatchObject({ number: 2 })
    await expect(runs.changeAttempt(lease, 9, { host: 'x' }, event)).rejects.toThrow('has no attempt 9')
    expect((await runs.read(id))?.lastEvent).toMatchObject({ number: 2 })
  })

  test('changing an attempt that does not exist is an error, not a lost lease', async () => {
    const { lease } = await acquire()
    await expect(runs.changeAttempt(lease, 3, { host: 'x' })).rejects.toThrow('has no attempt 3')
  })

  test('a run that has not ended and that no worker holds is unfinished', async () => {
    const { lease } = await acquire('one')
    expect(await runs.unfinished(10)).toEqual([])
    await runs.renew(lease, over)
    expect(await runs.unfinished(10)).toEqual([id])
    await runs.change(lease, { endedAt: new Date() })
    expect(await runs.unfinished(10)).toEqual([])
  })

  test('recent runs come newest first', async () => {
    const ids = ['a', 'b', 'c'].map((letter) => letter.repeat(24))
    for (const each of ids) await runs.acquire(each, 'one', minute)
    expect((await runs.recent(2)).map((run) => run.id)).toEqual(ids.toReversed().slice(0, 2))
  })

  test('runs that trained in one go are found by family and GPU, newest first', async () => {
    const trained = { ending: 'trained', sentence: '', refundPoints: 0, decidedAt: new Date(0) } as const
    const estimate = { totalSeconds: 900, trainSeconds: 300 }
    async function ran(letter: string, family: Family, fields: RunChange, offers: readonly Offer[]) {
      const held = await runs.acquire(letter.repeat(24), 'one', minute)
      if (!held) throw new Error('it is held')
      for (const [index, each] of offers.entries())
        await runs.addAttempt(held.lease, { ...attempt(index + 1), offer: each, estimate })
      await runs.change(held.lease, { plan: planOf(family), ...fields })
    }
    await ran('1', 'SDXL', { outcome: trained }, [offer])
    await ran('2', 'SDXL', { outcome: { ...trained, ending: 'internal' } }, [offer])
    await ran('3', 'FLUX', { outcome: trained }, [offer])
    await ran('4', 'SDXL', { outcome: trained }, [{ ...offer, gpu: 'L40S' }])
    await ran('5', 'SDXL', { outcome: trained }, [offer, offer])
    await ran('6', 'SDXL', {}, [offer])
    await ran('7', 'SDXL', { outcome: trained }, [offer])
    const found = await runs.completedOnFirstAttempt('SDXL', 'L4', 20)
    expect(found.map((run) => run.id[0])).toEqual(['7', '1'])
    expect(found[0]?.attempts[0]?.estimate).toEqual(estimate)
    expect((await runs.completedOnFirstAttempt('SDXL', 'L4', 1)).map((run) => run.id[0])).toEqual(['7'])
    expect(await runs.completedOnFirstAttempt('WAN', 'L4', 20)).toEqual([])
  })

  test('an event is numbered by the run, together with the change that it tells of', async () => {
    const { lease } = await acquire('one', over)
    const event = { trainingId: id, worker: 'one', token: 1, kind: 'phase', message: '$phase' }
    const first = await runs.change(lease, { phase: 'charged', event })
    expect(first).toMatchObject({
      phase: 'charged',
      lastEvent: { ...event, number: 1, at: expect.any(Date) },
    })
    const data = { step: 7 }
    const second = await runs.change(lease, { event: { ...event, data } })
    expect(second.lastEvent).toMatchObject({ ...event, number: 2, data })
    const third = await runs.change(lease, { event })
    expect(third.lastEvent).toEqual({ ...event, number: 3, at: expect.any(Date) })
    expect((await runs.change(lease, { faults: { internal: 1 } })).lastEvent).toEqual(third.lastEvent)
    await acquire('two')
    await expect(runs.change(lease, { event })).rejects.toBeInstanceOf(LeaseLost)
    expect((await runs.read(id))?.lastEvent?.number).toBe(3)
  })

  test('a timeline keeps the first of two events with the same number, in order', async () => {
    const at = new Date('2026-11-23T12:00:00Z')
    const event = { trainingId: id, worker: 'one', token: 1, kind: 'step', message: 'a step', at }
    await timeline.append({ ...event, trainingId: 'f'.repeat(24), number: 1 })
    for (const number of [2, 1, 3]) await timeline.append({ ...event, number, data: { number } })
    await timeline.append({ ...event, number: 2, message: 'too late' })
    expect(await timeline.read(id)).toEqual(
      [1, 2, 3].map((number) => ({ ...event, number, data: { number } })),
    )
    expect((await timeline.read(id, 2)).map(({ number }) => number)).toEqual([3])
  })

  describe('a training that is queued again', () => {
    async function ended(lease: Lease) {
      await runs.addAttempt(lease, attempt(1))
      const outcome = { ending: 'internal', sentence: 'no', refundPoints: 5, decidedAt: new Date(0) } as const
      const event = { trainingId: id, worker: 'one', token: 1, kind: 'outcome', message: 'no' }
      await runs.change(lease, { phase: 'charged', lastStep: 3, chargedPoints: 5, faults: { x: 1 }, event })
      return runs.change(lease, { outcome, toldAt: new Date(1), endedAt: new Date(2) })
    }

    test('gets a run of its own: the story of the one before is kept, and nothing else of it', async () => {
      const { lease } = await acquire()
      const first = await ended(lease)
      const second = await runs.restart(lease)
      expect(second).toEqual({
        id,
        number: 2,
        deployment: first.deployment,
        earlier: [
          {
            number: 1,
            startedAt: first.startedAt,
            endedAt: first.endedAt,
            phase: 'charged',
            outcome: first.outcome,
            chargedPoints: 5,
          },
        ],
        phase: 'claimed',
        attempts: [],
        earlierAttempts: [attempt(1)],
        lastEvent: first.lastEvent,
        crashes: 0,
        startedAt: expect.any(Date),
        phaseTimes: { claimed: second.startedAt },
      })
      expect(await runs.read(id)).toEqual({ ...second, heldBy: 'one' })
      await runs.renew(lease, minute)
    })

    test('keeps the run that has not ended', async () => {
      const { lease } = await acquire()
      const run = await runs.change(lease, { phase: 'charged' })
      expect(await runs.restart(lease)).toEqual(run)
    })

    test('counts its machines on, and those of the runs before are still changed by number', async () => {
      const { lease } = await acquire()
      await ended(lease)
      await runs.restart(lease)
      const run = await runs.addAttempt(lease, attempt(2))
      expect([run.earlierAttempts, run.attempts]).toEqual([[attempt(1)], [attempt(2)]])
      expect(await runs.withMachines()).toHaveLength(1)
      const at = new Date('2026-11-24T00:00:00Z')
      const changed = await runs.changeAttempt(lease, 1, { tornDownAt: at })
      expect(changed.earlierAttempts[0]?.tornDownAt).toEqual(at)
      expect(changed.attempts[0]?.tornDownAt).toBeUndefined()
      await runs.changeAttempt(lease, 2, { tornDownAt: at })
      expect(await runs.withMachines()).toEqual([])
    })

    test('is not begun anew by a worker that has lost the lease', async () => {
      const { lease } = await acquire('one', over)
      await ended(lease)
      await acquire('two')
      await expect(runs.restart(lease)).rejects.toBeInstanceOf(LeaseLost)
    })

    test('attempts that are torn down can be forgotten; their numbers stay taken, over all runs', async () => {
      const { lease } = await acquire()
      for (const number of [1, 2, 3]) await runs.addAttempt(lease, attempt(number))
      for (const number of [1, 3]) await runs.changeAttempt(lease, number, { tornDownAt: new Date() })
      const waiting = { since: {}, roundEndedAt: new Date(), told: 'none is free' }
      await runs.change(lease, { waiting })
      expect((await runs.forgetAttempts(lease, [])).forgottenUpTo).toBeUndefined()
      const run = await runs.forgetAttempts(lease, [1, 2, 3])
      expect(run.attempts.map(({ number }) => number)).toEqual([2])
      expect([run.forgottenUpTo, nextNumber(run)]).toEqual([3, 4])
      expect(run.waiting).toEqual(waiting)
      expect((await runs.change(lease, { phase: 'charged' })).waiting).toBeUndefined()
      await runs.change(lease, { endedAt: new Date() })
      const next = await runs.restart(lease)
      expect([next.forgottenUpTo, nextNumber(next)]).toEqual([3, 4])
      await runs.release(lease)
      await expect(runs.forgetAttempts(lease, [2])).rejects.toBeInstanceOf(LeaseLost)
    })
  })

  test('a worker that dies is counted until there is progress; one that lets go is not', async () => {
    await acquire('one', over)
    await acquire('two', over)
    const { lease, run } = await acquire('three')
    expect(run.crashes).toBe(2)
    await runs.release(lease)
    const fourth = await acquire('four')
    expect(fourth.run.crashes).toBe(2)
    expect((await runs.change(fourth.lease, { phase: 'charged' })).crashes).toBe(0)
  })

  test('faults are forgotten with a phase or a step that was not reached before, and only then', async () => {
    const { lease } = await acquire()
    await runs.change(lease, { faults: { 'store-failed in shipping': 2 }, lastStep: 4 })
    await runs.change(lease, { faults: { 'store-failed in shipping': 2 } })
    expect((await runs.change(lease, { lastStep: 4 })).faults).toEqual({ 'store-failed in shipping': 2 })
    expect((await runs.change(lease, { lastStep: 2 })).lastStep).toBe(4)
    expect((await runs.change(lease, { lastStep: 5 })).faults).toEqual({})
    await runs.change(lease, { faults: { internal: 1 } })
    expect((await runs.change(lease, { phase: 'claimed' })).faults).toEqual({ internal: 1 })
    expect((await runs.change(lease, { phase: 'charged' })).faults).toEqual({})
  })

  test('a run that waits is held, not unfinished, until it waits no more', async () => {
    const { lease } = await acquire()
    const hold = { reason: 'no money', since: new Date(0), until: new Date(1000) }
    await runs.change(lease, { hold, heldSince: hold.since })
    await runs.release(lease)
    expect(await runs.unfinished(10)).toEqual([])
    expect(await runs.held()).toEqual([{ ...hold, id }])
    const again = await acquire('two')
    expect(again.run.hold).toEqual(hold)
    const free = await runs.change(again.lease, { hold: null })
    expect([free.hold, free.heldSince]).toEqual([undefined, hold.since])
    expect((await runs.change(again.lease, { phase: 'charged' })).heldSince).toBeUndefined()
    await runs.release(again.lease)
    expect(await runs.unfinished(10)).toEqual([id])
    expect(await runs.held()).toEqual([])
  })

  test('ended runs are found by their account, newest first', async () => {
    const account = '7'.repeat(24)
    const ids = ['a', 'b', 'c'].map((letter) => letter.repeat(24))
    for (const [index, each] of ids.entries()) {
      const held = await runs.acquire(each, 'one', minute)
      if (!held) throw new Error('held')
      const terms = { ownerAccountId: account, datasetId: id, offeringId: 'x', pricePoints: 1 }
      await runs.change(held.lease, { terms })
      if (index < 2) await runs.change(held.lease, { endedAt: new Date(1000 * (index + 1)) })
    }
    const found = async (since: number, limit: number) =>
      (await runs.endedOf(account, new Date(since), limit)).map((run) => run.id)
    expect(await found(0, 10)).toEqual([ids[1], ids[0]])
    expect(await found(0, 1)).toEqual([ids[1]])
    expect(await found(1500, 10)).toEqual([ids[1]])
    expect(await runs.endedOf('8'.repeat(24), new Date(0), 10)).toEqual([])
  })

  test('a run of another deployment is never taken up, listed or held; it can only be read', async () => {
    const { lease } = await acquire('one', over)
    await runs.addAttempt(lease, attempt(1))
    const held = await acquire('one', over)
    await runs.change(held.lease, { hold: { reason: 'x', since: new Date(0), until: new Date(0) } })
    expect(await others.acquire(id, 'two', minute)).toBeUndefined()
    const seen = [others.unfinished(10), others.held(), others.withMachines(), others.recent(10)]
    expect(await Promise.all(seen)).toEqual([[], [], [], []])
    expect(await others.read(id)).toMatchObject({ id, deployment: 'bellows-test' })
    await runs.change(held.lease, { hold: null })
    expect(await others.unfinished(10)).toEqual([])
    expect(await runs.unfinished(10)).toEqual([id])
  })
})
