import { expect, test } from 'vitest'
import { type Reason, reasons } from '../../src/failure.ts'
import { endings, refundPoints, sentenceFor, worthAnotherMachine } from '../../src/pipeline/endings.ts'

/** What a job can make happen by its own overrides, its image or its owner. */
const ownDoing: readonly Reason[] = ['trainer-refused', 'trainer-diverged', 'out-of-memory']

const facts = { charged: 1200, trainedSteps: 300, plannedSteps: 400, spent: 350 }

test.each(reasons)(
  '%s: the owner reads a sentence, and gets every point back that was not spent at will',
  (reason) => {
    const { sentence, status } = endings[reason]
    expect(status).toBe('FAILED')
    expect(sentence('the reason')).toMatch(/^[A-Z].*[.]$/)
    expect(refundPoints(reason, facts)).toBe(ownDoing.includes(reason) ? 850 : 1200)
  },
)

test('a machine that cost more than the charge leaves nothing to give back, and nothing to pay', () => {
  expect(refundPoints('trainer-diverged', { ...facts, spent: 5000 })).toBe(0)
})

test('a trained job refunds nothing', () => {
  expect(refundPoints('trained', { ...facts, trainedSteps: 400 })).toBe(0)
})

test.each([
  [0, 1000, 1200],
  [1, 1000, 1198],
  [500, 1000, 600],
  [1000, 1000, 0],
  [5000, 1000, 0],
  [0, 0, 1200],
  [3, Number.NaN, 1200],
])('cancelled after %i of %i steps, %i of 1,200 points go back', (trainedSteps, plannedSteps, refund) => {
  expect(refundPoints('cancelled', { charged: 1200, trainedSteps, plannedSteps, spent: 0 })).toBe(refund)
})

test('cancelled before its first step, a job still pays for its machine', () => {
  expect(refundPoints('cancelled', { ...facts, trainedSteps: 0 })).toBe(850)
})

test('a bad dataset is worth no second machine, a full disk or a crash is worth one, a lost machine five', () => {
  expect(worthAnotherMachine('bad-dataset', 1)).toBe(false)
  for (const reason of ['disk-full', 'trainer-crashed', 'trainer-hung'] as const)
    expect([1, 2].map((times) => worthAnotherMachine(reason, times))).toEqual([true, false])
  expect(worthAnotherMachine('machine-lost', 5)).toBe(true)
  expect(worthAnotherMachine('machine-lost', 6)).toBe(false)
})

test('a job waits 32 days for money, 1 for settings or account, as set for a machine; tried each 10 min', () => {
  const minute = 60_000
  const holds = Object.entries(endings).flatMap(([name, { hold }]) => (hold ? [[name, hold]] : []))
  expect(Object.fromEntries(holds)).toEqual({
    'budget-used-up': { retryMs: 10 * minute, atMostMs: 46_080 * minute },
    'no-capacity': { retryMs: 10 * minute, atMostMs: 'capacityWaitMs' },
    misconfigured: { retryMs: 10 * minute, atMostMs: 1_440 * minute },
    'too-many-failures': { retryMs: 10 * minute, atMostMs: 1_440 * minute },
  })
})

test.each([
  [1000, 0, 'No points have been returned: they paid for what was used.'],
  [1000, 1, '1 of 1000 points have been returned; the rest paid for what was used.'],
])('of %i points %i came back: “%s”', (charged, refund, words) => {
  expect(sentenceFor('trainer-crashed', 'exit code 1', { charged, refund })).toContain(words)
})
