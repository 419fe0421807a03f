/** How long the engine is given for each thing that it is asked for, beside the limits of the steps that ask. */
import { expect, test } from 'vitest'
import { deadlines } from '../../src/cloud/pulumi/stack-child.ts'
import { readConfig } from '../../src/config.ts'
import { fewestSettings } from '../support/settings.ts'

const minute = 60_000

test('an order and a teardown have the time of their step, and no more', () => {
  const config = readConfig(fewestSettings)
  expect(deadlines.up).toBe(config.BELLOWS_LIMIT_ORDERING_MINUTES * minute)
  expect(deadlines.destroy).toBe(config.BELLOWS_LIMIT_TEARDOWN_MINUTES * minute)
})

test('what comes before a teardown leaves it most of its time, and a question is answered in a minute', () => {
  expect(deadlines.refresh).toBe(3 * minute)
  expect(deadlines.discard).toBe(2 * minute)
  for (const question of ['has', 'outputs', 'list', 'cancel', 'remove'] as const)
    expect(deadlines[question], question).toBe(minute)
})
