import { describe, expect, test } from 'vitest'
import { watchBudget } from '../../src/operations/watch-budget.ts'
import { watchEndings } from '../../src/operations/watch-endings.ts'
import { watchWorkers } from '../../src/operations/watch-workers.ts'
import type { Outcome, Run } from '../../src/trainings/runs.ts'
import { memoryAlerts } from '../fakes/memory-alerts.ts'
import { memoryBudget } from '../fakes/memory-budget.ts'
import { memoryWorkers } from '../fakes/memory-workers.ts'

const limits = { dayUsd: 100, monthUsd: 1000 }
const monday = new Date('2026-11-23T10:00:00Z')
const tuesday = new Date('2026-11-24T10:00:00Z')

describe('the watch over the budgets', () => {
  test('tells once at 80 %, once at 100 %, and once each when a new day has begun', async () => {
    const budget = memoryBudget()
    const alerts = memoryAlerts()
    const look = (now = monday) => watchBudget({ budget, alerts }, limits, now)
    const said = () => alerts.said.map(({ key, kind }) => `${key} ${kind}`)

    await budget.reserve({ key: 'a', usd: 79 }, limits, monday)
    await look()
    expect(said()).toEqual([])
    await budget.reserve({ key: 'b', usd: 1 }, limits, monday)
    await look()
    await look()
    expect(said()).toEqual(['budget:day:80 raised'])
    await budget.reserve({ key: 'c', usd: 20 }, limits, monday)
    await look()
    await look()
    expect(said()).toEqual(['budget:day:80 raised', 'budget:day:100 raised'])
    expect(alerts.said[1]).toMatchObject({
      severity: 'critical',
      text: expect.stringMatching(/^\$100\.00 of \$100\.00/),
    })
    await look(tuesday)
    await look(tuesday)
    expect(said().slice(2)).toEqual(['budget:day:80 over', 'budget:day:100 over'])
  })

  test('does not ring again for a machine that costs somewhat less than was reserved', async () => {
    const budget = memoryBudget()
    const alerts = memoryAlerts()
    await budget.reserve({ key: 'a', usd: 81 }, limits, monday)
    await watchBudget({ budget, alerts }, limits, monday)
    await budget.settle('a', 75)
    await watchBudget({ budget, alerts }, limits, monday)
    await budget.reserve({ key: 'b', usd: 10 }, limits, monday)
    await watchBudget({ budget, alerts }, limits, monday)
    expect(alerts.said).toHaveLength(1)
  })
})

describe('the watch over the endings', () => {
  const run = (id: string, ending: Outcome['ending'], minute: number): Run => {
    const decidedAt = new Date(monday.getTime() + minute * 60_000)
    const outcome = { ending, sentence: '', refundPoints: 0, decidedAt }
    return {
      id,
      number: 1,
      deployment: 'bellows-test',
      phase: 'claimed',
      attempts: [],
      earlierAttempts: [],
      startedAt: monday,
      phaseTimes: {},
      outcome,
    }
  }
  const watching = (alerts = memoryAlerts()) => ({
    alerts,
    look: (...runs: Run[]) => watchEndings({ alerts, runs: { recent: async () => runs } }),
  })

  test('tells once of three internal errors in a row, and once when it is over', async () => {
    const { alerts, look } = watching()
    const three = [run('c', 'internal', 3), run('b', 'internal', 2), run('a', 'internal', 1)]
    await look(...three.slice(1))
    expect(alerts.said).toEqual([])
    await look(...three)
    await look(run('d', 'internal', 4), ...three)
    expect(alerts.said).toMatchObject([
      { key: 'internal-errors', kind: 'raised', text: expect.stringMatching(/^c, b, a:/) },
    ])
    await look(run('e', 'trained', 5), ...three)
    expect(alerts.said.map(({ kind }) => kind)).toEqual(['raised', 'over'])
  })

  test('judges by when a job ended, and leaves out what its owner cancelled', async () => {
    const { alerts, look } = watching()
    await look(
      run('a', 'internal', 1),
      run('b', 'trained', 9),
      run('c', 'internal', 3),
      run('d', 'internal', 4),
    )
    expect(alerts.said).toEqual([])
    await look(
      run('a', 'internal', 1),
      run('x', 'cancelled', 9),
      run('c', 'internal', 3),
      run('d', 'internal', 4),
    )
    expect(alerts.said).toHaveLength(1)
  })

  test('an error of another kind in between breaks the row', async () => {
    const { alerts, look } = watching()
    await look(run('a', 'internal', 1), run('b', 'bad-dataset', 2), run('c', 'internal', 3))
    expect(alerts.said).toEqual([])
  })
})

describe('the watch of the workers over each other', () => {
  const minute = 60_000

  function watching() {
    let time = monday.getTime()
    const now = () => new Date(time)
    const workers = memoryWorkers(now)
    const alerts = memoryAlerts(now)
    const waiting: string[] = []
    const runs = { unfinished: async (limit: number) => waiting.slice(0, limit) }
    return {
      workers,
      waiting,
      alerts,
      look: (name: string) => watchWorkers({ workers, alerts, runs }, { name, startedAt: monday }),
      /** Time passes, while these go on looking four times a minute. */
      async pass(minutes: number, ...names: string[]) {
        for (const end = time + minutes * minute; time < end; time += minute / 4)
          for (const name of names) await watchWorkers({ workers, alerts, runs }, { name, startedAt: monday })
      },
      said: () => alerts.said.map(({ key, kind, text }) => `${key} ${kind}: ${text}`),
    }
  }

  test('tells once of a worker that falls silent for three minutes, and once when it is back', async () => {
    const { look, pass, said } = watching()
    await pass(10, 'one', 'two', 'three')
    await pass(2.5, 'one', 'three')
    expect(said()).toEqual([])
    await pass(10, 'one', 'three')
    expect(said()).toEqual([
      expect.stringMatching(/^worker:two raised: It was last seen at 2026-11-23T10:09:45.000Z/),
    ])
    await look('two')
    await pass(10, 'one', 'two', 'three')
    expect(said().slice(1)).toEqual(['worker:two over: It is back.'])
  })

  test('says nothing of a worker that has stopped', async () => {
    const { pass, said, workers } = watching()
    await pass(1, 'one', 'two')
    await workers.leave('two')
    await pass(10, 'one')
    expect(said()).toEqual([])
  })

  test('is over when a worker that was missed comes back and stops before the next look', async () => {
    const { pass, said, workers } = watching()
    await pass(1, 'one', 'two')
    await pass(5, 'one')
    await workers.leave('two')
    await pass(1, 'one')
    expect(said().slice(1)).toEqual(['worker:two over: It has stopped.'])
  })

  test('forgets one that stays away for an hour, but not while a job waits for a worker', async () => {
    const { pass, said, waiting, workers } = watching()
    await pass(1, 'one', 'two')
    waiting.push('a job that nobody has taken up')
    await pass(90, 'one')
    expect(said()).toHaveLength(1)
    expect(await workers.all()).toHaveLength(2)
    waiting.pop()
    await pass(1, 'one')
    expect(said().slice(1)).toEqual([
      'worker:two over: It has not come back, and none of its jobs waits for it.',
    ])
    expect((await workers.all()).map(({ name }) => name)).toEqual(['one'])
  })

  test('misses no worker after a time in which it was away itself, as when the database was', async () => {
    const { look, pass, said } = watching()
    await pass(1, 'one', 'two')
    await pass(10)
    await look('one')
    expect(said()).toEqual([])
    await pass(1, 'two', 'one')
    expect(said()).toEqual([])
  })

  test('a lone worker misses no other', async () => {
    const { pass, said } = watching()
    await pass(300, 'one')
    expect(said()).toEqual([])
  })
})
