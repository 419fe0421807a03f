import { expect, test } from 'vitest'
import { answerWithin, keepGoing, keepTrying } from '../../src/pipeline/beside.ts'
import { latest } from '../../src/pipeline/latest.ts'
import { watchIdleGpu } from '../../src/pipeline/training/gpu-idle.ts'
import { manualClock } from '../support/manual-clock.ts'

const begin = () => {
  const clock = manualClock()
  const abort = new AbortController()
  const said: string[] = []
  const since = clock.now().getTime()
  const elapsed = () => (clock.now().getTime() - since) / 1000
  return {
    clock,
    abort,
    said,
    elapsed,
    beside: { clock, signal: abort.signal, say: (each: string) => said.push(each) },
  }
}

test('a loop that fails at once is begun again with pauses that grow to 30 s, and that is told once', async () => {
  const { clock, abort, said, elapsed, beside } = begin()
  const starts: number[] = []
  const going = keepGoing(beside, 'the watch', async () => {
    starts.push(elapsed())
    throw new Error('no channel')
  })
  await clock.advance(100_000)
  expect(starts).toEqual([0, 1, 3, 7, 15, 31, 61, 91])
  expect(said).toEqual(['the watch failed (no channel); it is begun again until it works'])
  abort.abort()
  await going
})

test('a loop that ran for a while is begun again soon, and one that does not listen ends with its signal', async () => {
  const { clock, abort, elapsed, beside } = begin()
  const starts: number[] = []
  const going = keepGoing(beside, 'the watch', async () => {
    starts.push(elapsed())
    if (starts.length === 4) return new Promise(() => {})
    await clock.sleep(100_000)
  })
  await clock.advance(400_000)
  expect(starts).toEqual([0, 101, 202, 303])
  abort.abort()
  await going
})

test('what is tried until it works is done once it has', async () => {
  const { clock, said, beside } = begin()
  let tries = 0
  const trying = keepTrying(beside, 'asking', async () => {
    if (++tries < 3) throw new Error('not yet')
  })
  await clock.advance(10_000)
  await trying
  expect(tries).toBe(3)
  expect(said).toHaveLength(1)
})

test('an answer that does not come is given up at its limit', async () => {
  const { clock, beside } = begin()
  const asked = answerWithin(beside, 120_000, 'a look', () => new Promise<never>(() => {}))
  const failed = expect(asked).rejects.toMatchObject({
    reason: 'step-overran',
    message: 'a look was not answered within 2 min',
  })
  await clock.advance(120_000)
  await failed
  expect(clock.sleepers).toBe(0)
})

test('of values that come while one is written, only the newest is written next', async () => {
  const written: number[] = []
  const doors: (() => void)[] = []
  const { write, idle } = latest(async (value: number) => {
    written.push(value)
    await new Promise<void>((resolve) => doors.push(resolve))
    if (value === 1) throw new Error('the database is away')
  })
  for (const value of [1, 2, 3, 4]) write(value)
  doors[0]?.()
  while (doors.length < 2) await new Promise((resolve) => setImmediate(resolve))
  doors[1]?.()
  await idle()
  expect(written).toEqual([1, 4])
})

test('a GPU is idle by readings alone: none, gaps between them and jumps of the clock prove nothing', async () => {
  const clock = manualClock()
  const idle: number[] = []
  const gpu = watchIdleGpu(clock, 300_000, (limit) => idle.push(limit))
  await clock.advance(3_600_000) // no reading yet
  gpu.reading(0)
  clock.jump(1_000_000)
  gpu.reading(0)
  await clock.advance(900_000) // unreadable meanwhile
  for (let minutes = 0; minutes < 5; minutes++) {
    gpu.reading(0)
    expect(idle).toEqual([])
    await clock.advance(60_000)
  }
  gpu.reading(0)
  expect(idle).toEqual([300_000])
  await clock.advance(60_000)
  gpu.reading(0)
  expect(idle).toEqual([300_000])
})

test('a GPU that works now and then is not idle', async () => {
  const clock = manualClock()
  const idle: number[] = []
  const gpu = watchIdleGpu(clock, 300_000, (limit) => idle.push(limit))
  for (let minute = 0; minute < 60; minute++) {
    gpu.reading(minute % 4 === 0 ? 3 : 0)
    await clock.advance(60_000)
  }
  expect(idle).toEqual([])
})
