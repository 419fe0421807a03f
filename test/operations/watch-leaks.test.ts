import { describe, expect, test } from 'vitest'
import { watchLeaks } from '../../src/operations/watch-leaks.ts'
import { attempt, name, order, trainingId } from '../cloud/samples.ts'
import { memoryAlerts } from '../fakes/memory-alerts.ts'
import { memoryBudget } from '../fakes/memory-budget.ts'
import { memoryMachines } from '../fakes/memory-machines.ts'
import { memoryRuns } from '../fakes/memory-runs.ts'
import { memoryTimeline } from '../fakes/memory-timeline.ts'
import { manualClock } from '../support/manual-clock.ts'

const minute = 60_000
const limits = { dayUsd: 100, monthUsd: 100 }

/** A run that has ended, whose only teardown could not be proved; `usdPerHour` 0.4, reserved: $1. */
async function suspected({ launched = true } = {}) {
  const clock = manualClock()
  const runs = memoryRuns(clock.now)
  const timeline = memoryTimeline()
  const budget = memoryBudget()
  const alerts = memoryAlerts(clock.now)
  const trouble: { error?: Error } = {}
  const machines = memoryMachines({
    now: clock.now,
    moment: ({ verb, point }) => {
      if (verb === 'release' && point === 'asked' && trouble.error) throw trouble.error
    },
  })
  if (launched)
    await machines.order(
      order({ lifetimeSeconds: 1e6, deadline: new Date(1e13) }),
      new AbortController().signal,
    )
  await budget.reserve({ key: name, usd: 1 }, limits, clock.now())
  const { lease } = (await runs.acquire(trainingId, 'worker', minute)) ?? {}
  if (!lease) throw new Error('nobody else is there')
  await runs.addAttempt(lease, attempt({ suspectedLeak: true }))
  const event = { trainingId, worker: 'worker', token: 1, kind: 'outcome', message: 'trained' }
  await runs.change(lease, { endedAt: clock.now(), event })
  await runs.release(lease)
  await alerts.raise(`leak:${name}`, { severity: 'critical', title: 'it may still be there', text: '' })
  await clock.advance(30 * minute)
  return {
    clock,
    runs,
    alerts,
    budget,
    machines,
    told: async () => (await timeline.read(trainingId)).map(({ message }) => message),
    trouble,
    look: () => watchLeaks({ clock, runs, timeline, alerts, budget, machines, worker: 'reaper' }),
    attempt: async () => (await runs.read(trainingId))?.attempts[0],
    standing: async () => (await alerts.standing()).map(({ key }) => key),
  }
}

describe('the watch for leaks', () => {
  test('closes a run’s books and clears its alert once the machine is proved to be gone', async () => {
    const { look, told, attempt, standing, budget, machines, clock } = await suspected()
    await look()
    expect(await told()).toEqual(['trained', 'attempt 1: the machine is gone'])
    expect(machines.left()).toEqual([])
    expect(await standing()).toEqual([])
    const { launchedAt, tornDownAt, costUsd, suspectedLeak } = (await attempt()) ?? {}
    expect({ tornDownAt, suspectedLeak }).toEqual({ tornDownAt: clock.now(), suspectedLeak: false })
    expect(Number(tornDownAt) - Number(launchedAt)).toBe(30 * minute)
    expect(costUsd).toBeCloseTo(0.2)
    expect((await budget.spending(clock.now())).spent.dayUsd).toBeCloseTo(0.2)
  })

  test('books nothing for a machine that never was', async () => {
    const { look, attempt, standing, budget, clock } = await suspected({ launched: false })
    await look()
    expect(await standing()).toEqual([])
    expect(await attempt()).toMatchObject({ costUsd: 0, tornDownAt: clock.now() })
    expect((await budget.spending(clock.now())).spent.dayUsd).toBe(0)
  })

  test.each([true, false])('keeps the alert while the release fails (listed: %s)', async (launched) => {
    const { look, attempt, standing, trouble } = await suspected({ launched })
    trouble.error = new Error('AWS is away')
    await look()
    await look()
    expect(await standing()).toEqual([`leak:${name}`])
    expect((await attempt())?.tornDownAt).toBeUndefined()
    delete trouble.error
    await look()
    expect(await standing()).toEqual([])
  })

  test.each([true, false])(
    'leaves alone what another holds, and its alert (listed: %s)',
    async (launched) => {
      const { look, attempt, standing, runs, machines } = await suspected({ launched })
      const before = machines.left()
      await runs.acquire(trainingId, 'worker', 60 * minute)
      await look()
      expect(await standing()).toEqual([`leak:${name}`])
      expect((await attempt())?.tornDownAt).toBeUndefined()
      expect(machines.left()).toEqual(before)
    },
  )

  test('tells once of a stack whose state was broken', async () => {
    const { look, machines, alerts } = await suspected()
    machines.breakState(name)
    await look()
    await look()
    expect(alerts.said.filter(({ key }) => key === `state:${name}`)).toMatchObject([
      { kind: 'happened', text: expect.stringContaining('could not be read') },
    ])
  })
})
