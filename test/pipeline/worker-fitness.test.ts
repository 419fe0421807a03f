import { expect, test } from 'vitest'
import { workerFitness } from '../../src/pipeline/worker-fitness.ts'
import { manualClock } from '../support/manual-clock.ts'

const minute = 60_000

function fitness(probed: readonly string[] = ['no room']) {
  const clock = manualClock()
  const started = clock.now().getTime()
  const stop = new AbortController()
  const probes: number[] = []
  const told: (readonly string[])[] = []
  let found = probed
  const worker = workerFitness(clock, stop.signal, {
    probe: async () => {
      probes.push((clock.now().getTime() - started) / 1000)
      return found
    },
    onFitness: (problems) => told.push(problems),
  })
  const heal = () => {
    found = []
  }
  return { clock, stop, probes, told, worker, heal }
}

test('the third fault in a row makes a worker unfit, and a job that goes well resets the count', () => {
  const { worker, told } = fitness()
  for (const fault of ['one', 'two']) worker.isAtFault(fault)
  worker.isWell()
  for (const fault of ['three', 'four']) worker.isAtFault(fault)
  expect(worker.problems()).toEqual([])
  worker.isAtFault('five')
  expect(told).toEqual([['five']])
})

test('an unfit worker probes itself after 5 s, then after pauses that double up to 5 minutes', async () => {
  const { clock, probes, worker, stop } = fitness()
  for (let fault = 0; fault < 3; fault++) worker.isAtFault('no room')
  const fit = worker.untilFit()
  await clock.advance(16 * minute)
  expect(probes).toEqual([5, 15, 35, 75, 155, 315, 615, 915])
  stop.abort()
  await fit
})

test('a worker that is well again says so, and is probed again after one more fault', async () => {
  const { clock, told, worker, heal } = fitness()
  for (let fault = 0; fault < 3; fault++) worker.isAtFault('no room')
  const fit = worker.untilFit()
  heal()
  await clock.advance(6000)
  await fit
  expect(told).toEqual([['no room'], []])
  worker.isAtFault('again')
  expect(worker.problems()).toEqual(['again'])
})
