import { describe, expect, test } from 'vitest'
import { memoryBudget } from '../../src/ledger/memory-budget.ts'
import { memoryAlerts } from '../../src/notify/memory-alerts.ts'
import { watchBudget } from '../../src/notify/watch-budget.ts'
import { watchEndings } from '../../src/notify/watch-endings.ts'
import type { Outcome, Run } from '../../src/trainings/runs.ts'

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
    return { id, phase: 'claimed', attempts: [], startedAt: monday, phaseTimes: {}, outcome }
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
