/**
 * Three kinds of tests. `unit` needs nothing but Node; `faults` runs the workflow in simulated deployments; `real` uses
 * real servers, machines and the real engine, which `test/support/set-up.ts` gets first: where one can't be had, the
 * tests fail with the sentence that says what to install.
 */
import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

const minute = 60_000
const cores = Math.max(2, availableParallelism())
const simulated = ['test/faults/**/*.test.ts']
const real = ['test/{contract,integration,browser}/**/*.test.ts', 'test/faults/real.test.ts']

export default defineConfig({
  test: {
    allowOnly: false,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [...real, ...simulated],
          maxWorkers: cores,
          testTimeout: minute / 2,
        },
      },
      {
        test: {
          name: 'faults',
          include: simulated,
          exclude: real,
          maxWorkers: cores,
          sequence: { groupOrder: 1 },
          testTimeout: 5 * minute,
        },
      },
      {
        test: {
          name: 'real',
          include: real,
          globalSetup: ['test/support/set-up.ts'],
          // Most of it waits: for machines, servers and deadlines. Each file has its own of all of them.
          maxWorkers: 3,
          sequence: { groupOrder: 2 },
          testTimeout: 5 * minute,
          hookTimeout: 5 * minute,
        },
      },
    ],
  },
})
