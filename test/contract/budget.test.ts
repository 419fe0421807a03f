import { beforeEach, describe, expect, test } from 'vitest'
import { type Budget, spokenFor } from '../../src/ledger/budget.ts'
import { createIndexes } from '../../src/ledger/indexes.ts'
import { mongoBudget } from '../../src/ledger/mongo-budget.ts'
import { memoryBudget } from '../fakes/memory-budget.ts'
import { testDatabase } from '../support/database.ts'
import { describeBoth } from './worlds.ts'

const limits = { dayUsd: 10, monthUsd: 25 }
const monday = new Date('2026-11-23T12:00:00Z')
const tuesday = new Date('2026-11-24T00:00:00Z')
const december = new Date('2026-12-01T00:00:00Z')

describeBoth('the budget', (world) => {
  let budget: Budget

  beforeEach(async () => {
    if (world.name === 'memory') budget = memoryBudget()
    else {
      await world.db().dropDatabase()
      await createIndexes(world.db())
      budget = mongoBudget(world.db())
    }
  })

  test('a reservation counts in its day and its month', async () => {
    expect(await budget.reserve({ key: 'one', usd: 4 }, limits, monday)).toEqual({ granted: true })
    expect(spokenFor(await budget.spending(monday))).toEqual({ dayUsd: 4, monthUsd: 4 })
    expect(spokenFor(await budget.spending(tuesday))).toEqual({ dayUsd: 0, monthUsd: 4 })
    expect(spokenFor(await budget.spending(december))).toEqual({ dayUsd: 0, monthUsd: 0 })
  })

  test('what is left of a budget can be reserved to the cent, and no more', async () => {
    for (const key of ['a', 'b', 'c']) await budget.reserve({ key, usd: 3.3 }, limits, monday)
    expect(await budget.reserve({ key: 'd', usd: 0.11 }, limits, monday)).toEqual({
      granted: false,
      period: 'day',
      leftUsd: 0.1,
    })
    expect(await budget.reserve({ key: 'd', usd: 0.1 }, limits, monday)).toEqual({ granted: true })
  })

  test('the month runs out although the day has room', async () => {
    for (const [index, usd] of [9, 9, 6].entries()) {
      const at = new Date(Date.UTC(2026, 10, index + 1))
      expect(await budget.reserve({ key: `${index}`, usd }, limits, at)).toEqual({ granted: true })
    }
    expect(await budget.reserve({ key: 'last', usd: 2 }, limits, monday)).toEqual({
      granted: false,
      period: 'month',
      leftUsd: 1,
    })
  })

  test('the cost takes the place of the reservation, once', async () => {
    await budget.reserve({ key: 'one', usd: 9 }, limits, monday)
    expect(await budget.settle('one', 1.25)).toBe(1.25)
    expect(await budget.settle('one', 7)).toBe(1.25)
    expect(spokenFor(await budget.spending(monday))).toEqual({ dayUsd: 1.25, monthUsd: 1.25 })
  })

  test('what is spent and what is only reserved are told apart, by day and by month', async () => {
    await budget.reserve({ key: 'sunday', usd: 3 }, limits, new Date('2026-11-22T12:00:00Z'))
    await budget.reserve({ key: 'one', usd: 4 }, limits, monday)
    await budget.reserve({ key: 'two', usd: 2 }, limits, monday)
    await budget.settle('one', 0.5)
    expect(await budget.spending(monday)).toEqual({
      spent: { dayUsd: 0.5, monthUsd: 0.5 },
      reserved: { dayUsd: 2, monthUsd: 5 },
    })
  })

  test('a reservation that comes after its settlement, from a worker that was late, takes nothing', async () => {
    expect(await budget.settle('late', 0)).toBe(0)
    expect(await budget.reserve({ key: 'late', usd: 4 }, limits, monday)).toEqual({ granted: true })
    expect(spokenFor(await budget.spending(monday))).toEqual({ dayUsd: 0, monthUsd: 0 })
  })

  test('reserving again changes nothing, settled or not, even over midnight', async () => {
    await budget.reserve({ key: 'one', usd: 9 }, limits, monday)
    expect(await budget.reserve({ key: 'one', usd: 9 }, limits, monday)).toEqual({ granted: true })
    expect(await budget.reserve({ key: 'one', usd: 9 }, limits, december)).toEqual({ granted: true })
    await budget.settle('one', 2)
    expect(await budget.reserve({ key: 'one', usd: 9 }, limits, monday)).toEqual({ granted: true })
    expect(spokenFor(await budget.spending(monday))).toEqual({ dayUsd: 2, monthUsd: 2 })
    expect(spokenFor(await budget.spending(december))).toEqual({ dayUsd: 0, monthUsd: 0 })
  })

  test('settling what was never reserved changes nothing', async () => {
    expect(await budget.settle('nobody', 5)).toBe(0)
    expect(spokenFor(await budget.spending(monday))).toEqual({ dayUsd: 0, monthUsd: 0 })
  })

  test('fifty reservations at once never pass the budget', async () => {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) => budget.reserve({ key: `${index}`, usd: 0.7 }, limits, monday)),
    )
    expect(answers.filter(({ granted }) => granted)).toHaveLength(14)
    expect(spokenFor(await budget.spending(monday)).dayUsd).toBeCloseTo(9.8, 6)
  })

  test('reservations and settlements at once add up', async () => {
    for (let index = 0; index < 10; index++) await budget.reserve({ key: `${index}`, usd: 1 }, limits, monday)
    await Promise.all([
      ...Array.from({ length: 30 }, (_, index) => budget.settle(`${index % 10}`, 0.5)),
      ...Array.from({ length: 20 }, (_, index) =>
        budget.reserve({ key: `new ${index}`, usd: 1 }, limits, monday),
      ),
    ])
    const { dayUsd } = spokenFor(await budget.spending(monday))
    expect(dayUsd).toBeLessThanOrEqual(10)
    for (let index = 0; index < 20; index++) await budget.settle(`new ${index}`, 0)
    expect(spokenFor(await budget.spending(monday))).toEqual({ dayUsd: 5, monthUsd: 5 })
  })
})

describe('the budget in MongoDB', () => {
  const database = testDatabase()

  test('keeps the rows of orders that cost nothing for a day, and those of machines for good', async () => {
    await createIndexes(database.db)
    const ending = (await database.db.collection('trainingCosts').indexes()).filter(
      ({ expireAfterSeconds }) => expireAfterSeconds !== undefined,
    )
    expect(ending).toMatchObject([
      { key: { settledAt: 1 }, expireAfterSeconds: 86_400, partialFilterExpression: { micros: 0 } },
    ])
  })
})
