import fc from 'fast-check'
import { expect, test } from 'vitest'
import { affordableSeconds, attemptCost, committedUsd, reservationUsd } from '../../src/pipeline/cost.ts'
import type { Attempt } from '../../src/trainings/runs.ts'

const orderedAt = new Date('2026-11-23T12:00:00Z')
const attempt: Attempt = {
  number: 1,
  name: 'bellows-0123456789abcdef01234567-1',
  offer: {
    provider: 'aws',
    type: 'g6.xlarge',
    gpu: 'L4',
    gpus: 1,
    gpuMemoryGb: 24,
    region: 'us-east-1',
    zone: 'us-east-1a',
    market: 'spot',
    usdPerHour: 0.8,
  },
  orderedAt,
  deadline: new Date('2026-11-23T14:00:00Z'),
  reservedUsd: 1.7,
}

test('a machine costs its hourly price from its order until it was seen terminated', () => {
  const tornDownAt = new Date('2026-11-23T12:30:00Z')
  expect(attemptCost({ ...attempt, tornDownAt }, new Date('2026-11-24T00:00:00Z'))).toBeCloseTo(0.4)
})

test('a wall clock that went backwards makes no negative cost', () => {
  expect(attemptCost(attempt, new Date('2026-11-23T11:00:00Z'))).toBe(0)
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
