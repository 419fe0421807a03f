import { expect, test } from 'vitest'
import { reasons } from '../../src/failure.ts'
import { endings, refundPoints, worthAnotherMachine } from '../../src/pipeline/endings.ts'

test.each(reasons)('%s: the owner reads a sentence, and gets every point back', (reason) => {
  const { sentence, status } = endings[reason]
  expect(status).toBe('FAILED')
  expect(sentence('the reason')).toMatch(/^[A-Z].*[.]$/)
  expect(refundPoints(reason, 1200, 300, 400)).toBe(1200)
})

test('a trained job refunds nothing', () => {
  expect(refundPoints('trained', 1200, 400, 400)).toBe(0)
})

test.each([
  [0, 1000, 1200],
  [1, 1000, 1198],
  [500, 1000, 600],
  [1000, 1000, 0],
  [5000, 1000, 0],
  [0, 0, 1200],
])('cancelled after %i of %i steps, %i of 1,200 points go back', (trained, planned, refund) => {
  expect(refundPoints('cancelled', 1200, trained, planned)).toBe(refund)
})

test('a bad dataset is worth no second machine, a lost machine is worth five', () => {
  expect(worthAnotherMachine('bad-dataset', 1)).toBe(false)
  expect(worthAnotherMachine('machine-lost', 5)).toBe(true)
  expect(worthAnotherMachine('machine-lost', 6)).toBe(false)
})
