/** Amounts, periods and keys, by hand; and the rules of the books in memory, which the simulations rest on. */
import { describe, expect, test } from 'vitest'
import { spokenFor } from '../../src/ledger/budget.ts'
import { chargeKey, refundKey } from '../../src/ledger/ledger.ts'
import { inUsd, monthAndDay, shortPeriod, sumUp, toMicros } from '../../src/ledger/months.ts'
import { cannotPay, whole } from '../../src/ledger/points.ts'
import { memoryBudget } from '../fakes/memory-budget.ts'
import { memoryLedger } from '../fakes/memory-ledger.ts'

describe('periods', () => {
  test('begin at midnight UTC', () => {
    expect(monthAndDay(new Date('2026-11-30T23:59:59.999Z'))).toEqual({ month: '2026-11', day: '30' })
    expect(monthAndDay(new Date('2026-12-01T00:00:00.000Z'))).toEqual({ month: '2026-12', day: '01' })
    expect(monthAndDay(new Date('2026-11-05T00:30:00+02:00'))).toEqual({ month: '2026-11', day: '04' })
  })

  test('have sums: the day’s of that day, the month’s of all', () => {
    const amounts = [
      { day: '04', micros: 1 },
      { day: '05', micros: 20 },
      { day: '05', micros: 300 },
    ]
    expect(sumUp(amounts, '05')).toEqual({ day: 320, month: 321 })
    expect(sumUp([], '05')).toEqual({ day: 0, month: 0 })
    expect(inUsd({ day: 1_250_000, month: 2_000_001 })).toEqual({ dayUsd: 1.25, monthUsd: 2.000001 })
  })
})

describe('amounts', () => {
  test('are whole millionths of a USD, rounded to the nearest', () => {
    expect([0, 0.1, 1.0000004, 1.0000006].map(toMicros)).toEqual([0, 100_000, 1_000_000, 1_000_001])
  })

  test.each([-0.01, Number.NaN, Number.POSITIVE_INFINITY])('%d is none', (usd) => {
    expect(() => toMicros(usd)).toThrow(`an amount of USD is a number from 0, not ${usd}`)
  })

  test('points are whole, from 0', () => {
    expect([0, 1, 9_007_199_254_740_991].map(whole)).toEqual([0, 1, 9_007_199_254_740_991])
    for (const points of [-1, 0.5, Number.NaN, 9_007_199_254_740_992])
      expect(() => whole(points)).toThrow(`points are whole numbers from 0, not ${points}`)
  })

  test('that a balance doesn’t cover are refused with both', () => {
    expect(cannotPay(299, 300)).toMatchObject({
      reason: 'cannot-pay',
      message: expect.stringContaining('it costs 300 points, and the balance is 299'),
    })
  })
})

describe('a budget', () => {
  const limits = { dayUsd: 10, monthUsd: 25 }
  const spent = (day: number, month: number) => ({ day: day * 1e6, month: month * 1e6 })

  test('can be reserved to the last millionth', () => {
    expect(shortPeriod(spent(4, 4), limits, 6)).toBeUndefined()
    expect(shortPeriod(spent(4, 4), limits, 6.000001)).toEqual({ period: 'day', leftUsd: 6 })
    expect(shortPeriod(spent(0, 24), limits, 1)).toBeUndefined()
    expect(shortPeriod(spent(0, 24), limits, 1.000001)).toEqual({ period: 'month', leftUsd: 1 })
  })

  test('of the day is named where both are short, and what is left is never less than nothing', () => {
    expect(shortPeriod(spent(12, 30), limits, 1)).toEqual({ period: 'day', leftUsd: 0 })
    expect(shortPeriod(spent(0, 30), limits, 1)).toEqual({ period: 'month', leftUsd: 0 })
  })

  test('has what is spent and what is reserved spoken for', () => {
    expect(
      spokenFor({ spent: { dayUsd: 1, monthUsd: 20 }, reserved: { dayUsd: 300, monthUsd: 4000 } }),
    ).toEqual({ dayUsd: 301, monthUsd: 4020 })
  })

  test('keeps a reservation in the day it was made in, once, and replaces it by the cost, once', async () => {
    const budget = memoryBudget()
    const monday = new Date('2026-11-23T12:00:00Z')
    const tuesday = new Date('2026-11-24T00:00:00Z')
    expect(await budget.reserve({ key: 'one', usd: 9 }, limits, monday)).toEqual({ granted: true })
    expect(await budget.reserve({ key: 'one', usd: 99 }, limits, tuesday)).toEqual({ granted: true })
    expect(await budget.reserve({ key: 'two', usd: 2 }, limits, monday)).toEqual({
      granted: false,
      period: 'day',
      leftUsd: 1,
    })
    expect(await budget.spending(tuesday)).toEqual({
      spent: { dayUsd: 0, monthUsd: 0 },
      reserved: { dayUsd: 0, monthUsd: 9 },
    })
    expect([await budget.settle('one', 1.25), await budget.settle('one', 7)]).toEqual([1.25, 1.25])
    expect(await budget.settle('nobody', 5)).toBe(0)
    expect(await budget.spending(monday)).toEqual({
      spent: { dayUsd: 1.25, monthUsd: 1.25 },
      reserved: { dayUsd: 0, monthUsd: 0 },
    })
    expect(await budget.reserve({ key: 'one', usd: 9 }, limits, monday)).toEqual({ granted: true })
    expect((await budget.spending(new Date('2026-12-23T12:00:00Z'))).spent).toEqual({
      dayUsd: 0,
      monthUsd: 0,
    })
  })
})

describe('a ledger', () => {
  const job = { trainingId: 'a'.repeat(24), run: 1 }
  const again = { ...job, run: 2 }

  test('has a key for each movement: the first run’s without a number', () => {
    expect([chargeKey(job), refundKey(job), chargeKey(again), refundKey(again)]).toEqual([
      `charge:${'a'.repeat(24)}`,
      `refund:${'a'.repeat(24)}`,
      `charge:${'a'.repeat(24)}:2`,
      `refund:${'a'.repeat(24)}:2`,
    ])
  })

  test('moves points once for each key, never below 0, and back to whom they were taken from', async () => {
    const ledger = memoryLedger()
    await ledger.topUp('owner', 300, 'one')
    await ledger.topUp('owner', 300, 'one')
    await expect(ledger.charge(job, 'owner', 301)).rejects.toMatchObject({ reason: 'cannot-pay' })
    const first = await ledger.charge(job, 'owner', 300)
    expect(first).toMatchObject({ accountId: 'owner', trainingId: job.trainingId, points: -300 })
    expect(await ledger.charge(job, 'other', 100)).toEqual(first)
    expect(await ledger.refund(job, 400)).toMatchObject({ accountId: 'owner', points: 300 })
    expect(await ledger.refund(job, 400)).toMatchObject({ points: 300 })
    expect(await ledger.balance('owner')).toBe(300)
    await ledger.charge(again, 'owner', 200)
    expect(await ledger.refund(again, 50)).toMatchObject({ points: 50 })
    expect(await ledger.balance('owner')).toBe(150)
  })

  test('closes a charge that was given back before it was made', async () => {
    const ledger = memoryLedger()
    await ledger.topUp('owner', 300, 'one')
    expect(await ledger.refund(job, 0)).toBeUndefined()
    expect(await ledger.refund(job, 300)).toBeUndefined()
    await expect(ledger.charge(job, 'owner', 300)).rejects.toThrow('its training has ended')
    expect([await ledger.balance('owner'), await ledger.movements(job.trainingId)]).toEqual([300, []])
  })

  test('gives nothing back for what was free, and a refund of nothing closes no charge', async () => {
    const ledger = memoryLedger()
    await ledger.charge(job, 'owner', 0)
    expect(await ledger.refund(job, 5)).toBeUndefined()
    await ledger.topUp('owner', 10, 'one')
    await ledger.refund(again, 0)
    expect(await ledger.charge(again, 'owner', 10)).toMatchObject({ points: -10 })
  })

  test('credits each role of a training once, and lists a training’s movements alone', async () => {
    const ledger = memoryLedger(() => new Date(7))
    const { trainingId } = job
    await ledger.credit(trainingId, 'trainer', 'owner', 10)
    await ledger.credit(trainingId, 'trainer', 'owner', 10)
    await ledger.credit(trainingId, 'dataset-creator', 'creator', 20)
    await ledger.credit('b'.repeat(24), 'trainer', 'owner', 1)
    expect(await ledger.movements(trainingId)).toEqual([
      { key: `credit:${trainingId}:trainer`, trainingId, accountId: 'owner', points: 10, at: new Date(7) },
      {
        key: `credit:${trainingId}:dataset-creator`,
        trainingId,
        accountId: 'creator',
        points: 20,
        at: new Date(7),
      },
    ])
    expect([await ledger.balance('owner'), await ledger.balance('creator')]).toEqual([11, 20])
    await expect(ledger.credit(trainingId, 'trainer', 'owner', -1)).rejects.toThrow('whole numbers')
  })
})
