import { expect, test } from 'vitest'
import type { Reason } from '../../src/failure.ts'
import { wasRefused } from '../../src/pipeline/steps/refusals.ts'
import { attempt } from '../cloud/samples.ts'

const failed = (reason: Reason, launchedAt?: Date) =>
  attempt({ failure: { reason, detail: 'no' }, ...(launchedAt && { launchedAt }) })

test.each(['no-capacity', 'budget-used-up', 'misconfigured'] as const)(
  'an order that ended with %s before there was a machine counts for nothing',
  (reason) => {
    expect(wasRefused(failed(reason))).toBe(true)
    expect(wasRefused(failed(reason, new Date()))).toBe(false)
  },
)

test('any other does', () => {
  expect(wasRefused(failed('internal'))).toBe(false)
  expect(wasRefused(attempt())).toBe(false)
})
