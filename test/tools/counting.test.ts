import { expect, test } from 'vitest'
import { atLeastOneFailed, countPytest, countVitest, nothing, sum, verdict } from '../../tools/counting.ts'

const report = (testResults: readonly unknown[], numbers = {}) => ({
  numPassedTests: 2,
  numFailedTests: 0,
  numPendingTests: 0,
  numTodoTests: 0,
  testResults,
  ...numbers,
})

test('vitest: a file that could not be loaded counts as a failure', () => {
  const broken = { status: 'failed', assertionResults: [] }
  expect(countVitest(report([broken]))).toEqual({ passed: 2, failed: 1, skipped: 0 })
})

test('vitest: a file with a failed test counts as that test only', () => {
  const file = { status: 'failed', assertionResults: [{ status: 'passed' }, { status: 'failed' }] }
  expect(countVitest(report([file], { numFailedTests: 1 }))).toEqual({ passed: 2, failed: 1, skipped: 0 })
})

test('vitest: skipped and unwritten tests are told apart from passed ones', () => {
  expect(countVitest(report([], { numPendingTests: 3, numTodoTests: 1 })).skipped).toBe(4)
})

test.each([
  ['1 failed, 30 passed, 2 skipped in 12.31s', { passed: 30, failed: 1, skipped: 2 }],
  ['41 passed in 63.02s (0:01:03)', { passed: 41, failed: 0, skipped: 0 }],
  ['2 passed, 1 error in 0.5s', { passed: 2, failed: 1, skipped: 0 }],
  ['3 errors in 0.50s', { passed: 0, failed: 3, skipped: 0 }],
])('pytest: %s', (line, count) => {
  expect(countPytest(`........ [100%]\n${line}\n`)).toEqual(count)
})

test('a run that went wrong has failed, even if it says nothing about any test', () => {
  expect(atLeastOneFailed(countPytest('Killed'), true)).toEqual({ passed: 0, failed: 1, skipped: 0 })
  expect(atLeastOneFailed({ passed: 5, failed: 2, skipped: 0 }, true).failed).toBe(2)
  expect(atLeastOneFailed({ passed: 5, failed: 0, skipped: 0 }, false).failed).toBe(0)
})

test('the last line has the sum of all runs', () => {
  expect(
    verdict(sum([{ passed: 1, failed: 2, skipped: 3 }, nothing, { passed: 4, failed: 5, skipped: 6 }])),
  ).toBe('5 passed, 7 failed')
})
