/**
 * Four kinds of tests. `unit` needs nothing but Node; `faults` runs the workflow in simulated deployments; `real` uses
 * real servers, machines and the real engine, which `test/support/set-up.ts` gets first: where one can't be had, the
 * tests fail with the sentence that says what to install. `real-faults` stages faults in a whole deployment of those.
 */
import { defineConfig } from 'vitest/config'
import { LongestFirst } from './tools/longest-first.ts'

const minute = 60_000

/** Files at once: beside the computing, there is much waiting. */
const maxWorkers = 3

const simulated = ['test/faults/**/*.test.ts']
const real = ['test/{contract,integration,browser}/**/*.test.ts']
const realFaults = ['test/faults/real*.test.ts']

const withRealParts = {
  globalSetup: ['test/support/set-up.ts'],
  maxWorkers,
  testTimeout: 5 * minute,
  hookTimeout: 10 * minute, // the first loads the trainers' images for the machines, the others wait for it
}

export default defineConfig({
  test: {
    allowOnly: false,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [...real, ...simulated],
          testTimeout: minute / 2,
        },
      },
      {
        test: {
          name: 'faults',
          include: simulated,
          exclude: realFaults,
          maxWorkers,
          testTimeout: 5 * minute,
        },
      },
      { test: { name: 'real', include: real, ...withRealParts } },
      { test: { name: 'real-faults', include: realFaults, ...withRealParts } },
    ],
  },
})
