import { totalmem } from 'node:os'
import { expect, test } from 'vitest'
import { stacksOptions } from '../../src/clients.ts'
import { readConfig } from '../../src/config.ts'
import { availableMemory, memoryWarning, operationsFor } from '../../src/operations/memory.ts'
import { fewestSettings } from '../support/settings.ts'

test.each([
  [512e6, 1],
  [2e9, 1],
  [2.7e9, 2],
  [4e9, 3],
  [64e9, 4],
])('a worker with %d bytes runs %d Pulumi operations at once', (bytes, operations) => {
  expect(operationsFor(bytes)).toBe(operations)
})

test('what needs more memory than the worker has is said, with both figures', () => {
  expect(memoryWarning(2, 2e9)).toMatch(
    /^2 Pulumi operations at once need 2\.6 GB with the worker, and it has 2\.0 GB \(BELLOWS_PULUMI_CONCURRENCY\)/,
  )
  expect(memoryWarning(1, 1e9)).toMatch(
    /^1 Pulumi operation needs 1\.8 GB with the worker, and it has 1\.0 GB/,
  )
  expect(memoryWarning(2, 2.6e9)).toBeUndefined()
})

test('memory is this computer’s, or what its container is allowed', () => {
  expect(availableMemory()).toBeGreaterThan(100e6)
  expect(availableMemory()).toBeLessThanOrEqual(totalmem())
})

test('how many Pulumi operations run at once follows from the memory, unless it is set', () => {
  const atOnce = (settings: object) =>
    stacksOptions(readConfig({ ...fewestSettings, ...settings }), 'bellows').atOnce
  expect(atOnce({})).toBe(operationsFor(availableMemory()))
  expect(atOnce({ BELLOWS_PULUMI_CONCURRENCY: '7' })).toBe(7)
})
