import { afterEach, expect, test, vi } from 'vitest'
import { databaseClock } from '../../src/trainings/database-clock.ts'

afterEach(() => void vi.useRealTimers())

const databaseTime = new Date('2026-11-23T12:00:00Z')
const runs = { now: async () => databaseTime }
const after = (milliseconds: number) => new Date(databaseTime.getTime() + milliseconds)

test("a worker's time is the database's and goes on evenly, wherever the worker's own clock is set to", async () => {
  vi.useFakeTimers({ now: new Date('2026-11-23T13:30:00Z') })
  const clock = await databaseClock(runs)
  expect(clock.now()).toEqual(databaseTime)
  vi.advanceTimersByTime(90_000)
  vi.setSystemTime(new Date('1970-01-01T00:00:00Z'))
  expect(clock.now()).toEqual(after(90_000))
})

test('what was not counted while the computer slept is made up for', async () => {
  vi.useFakeTimers()
  const times = [databaseTime, after(3_600_000)]
  const clock = await databaseClock({ now: async () => times.shift() as Date })
  await clock.synchronise()
  expect(clock.now()).toEqual(after(3_600_000))
})

test('a database that does not answer leaves the time as it was', async () => {
  vi.useFakeTimers()
  let answers = 1
  const clock = await databaseClock({
    now: () => (answers-- > 0 ? runs.now() : Promise.reject(new Error('no primary'))),
  })
  await expect(clock.synchronise()).rejects.toThrow('no primary')
  expect(clock.now()).toEqual(databaseTime)
})
