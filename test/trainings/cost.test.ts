import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  affordableSeconds,
  attemptCost,
  closedBooks,
  committedUsd,
  costSoFar,
  ownersCost,
  reservationUsd,
} from '../../src/trainings/cost.ts'
import type { Attempt } from '../../src/trainings/runs.ts'
import { offer as sampleOffer } from '../cloud/samples.ts'

const orderedAt = new Date('2026-11-23T12:00:00Z')
const attempt: Attempt = {
  number: 1,
  name: 'bellows-0123456789abcdef01234567-1',
  offer: sampleOffer({ usdPerHour: 0.8 }),
  orderedAt,
  deadline: new Date('2026-11-23T14:00:00Z'),
  reservedUsd: 1.7,
}

const launchedAt = new Date('2026-11-23T12:48:00Z')
const tornDownAt = new Date('2026-11-23T13:18:00Z')
const muchLater = new Date('2026-11-24T00:00:00Z')

test('a machine costs its hourly price from its launch, not its order, until it was seen terminated', () => {
  expect(attemptCost({ ...attempt, launchedAt, tornDownAt }, muchLater)).toBeCloseTo(0.4)
  expect(attemptCost({ ...attempt, launchedAt }, new Date('2026-11-23T13:03:00Z'))).toBeCloseTo(0.2)
})

test('no machine, no cost: however long an order was under way', () => {
  expect(attemptCost(attempt, muchLater)).toBe(0)
  expect(attemptCost({ ...attempt, tornDownAt }, muchLater)).toBe(0)
})

test('a machine never costs more than was reserved for it, however late it is checked', () => {
  expect(attemptCost({ ...attempt, launchedAt }, muchLater)).toBe(1.7)
})

test('a settled cost stays', () => {
  expect(attemptCost({ ...attempt, launchedAt, costUsd: 0.25 }, muchLater)).toBe(0.25)
})

test('a machine that an earlier release noted without its launch is paid from its order', () => {
  expect(attemptCost({ ...attempt, instanceId: 'i-1', tornDownAt }, muchLater)).toBeCloseTo(1.04)
})

test('what all machines of a job cost is the sum of each', () => {
  const attempts = [attempt, { ...attempt, launchedAt, tornDownAt }, { ...attempt, costUsd: 0.25 }]
  expect(costSoFar(attempts, muchLater)).toBeCloseTo(0.65)
})

test('an owner pays for a machine that failed until it failed, whether its books are closed or not', () => {
  const failure = { reason: 'machine-lost', detail: 'gone', at: new Date('2026-11-23T13:03:00Z') } as const
  const failed = { ...attempt, launchedAt, failure }
  expect(ownersCost([failed], muchLater)).toBeCloseTo(0.2)
  expect(ownersCost([{ ...failed, tornDownAt, costUsd: 0.4 }], muchLater)).toBeCloseTo(0.2)
  const { at: _, ...earlier } = failure
  expect(ownersCost([{ ...failed, failure: earlier }, failed], tornDownAt)).toBeCloseTo(0.6)
  expect(ownersCost([{ ...attempt, failure }], muchLater)).toBe(0)
})

test('the books of a released machine have the launch that it was noted with, else the one that was seen', () => {
  const seen = new Date('2026-11-23T13:03:00Z')
  expect(closedBooks(attempt, { launchedAt: undefined }, tornDownAt)).toEqual({
    tornDownAt,
    costUsd: 0,
    suspectedLeak: false,
  })
  expect(closedBooks(attempt, { launchedAt: seen }, tornDownAt)).toMatchObject({ launchedAt: seen })
  expect(closedBooks(attempt, { launchedAt: seen }, tornDownAt).costUsd).toBeCloseTo(0.2)
  const noted = closedBooks({ ...attempt, launchedAt }, { launchedAt: seen }, tornDownAt)
  expect(noted).toMatchObject({ launchedAt })
  expect(noted.costUsd).toBeCloseTo(0.4)
})

test('a reservation is for the whole time and two minutes more, in which the machine goes off', () => {
  expect(reservationUsd(3_480, 0.8)).toBeCloseTo(0.8)
  expect(affordableSeconds(0.8, 0.8)).toBeCloseTo(3_480)
})

test('a wall clock that went backwards makes no negative cost', () => {
  expect(attemptCost({ ...attempt, launchedAt }, new Date('2026-11-23T11:00:00Z'))).toBe(0)
})

test('what is spoken for counts the reservation until the cost is known', () => {
  expect(committedUsd([attempt, { ...attempt, number: 2, costUsd: 0.25 }])).toBeCloseTo(1.95)
})

test('a machine kept for as long as a sum affords reserves no more than that sum', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.1, max: 50, noNaN: true }),
      fc.double({ min: 0.1, max: 40, noNaN: true }),
      (usd, perHour) => {
        const seconds = affordableSeconds(usd, perHour)
        expect(reservationUsd(seconds, perHour)).toBeLessThanOrEqual(usd * (1 + 1e-9))
      },
    ),
  )
})
