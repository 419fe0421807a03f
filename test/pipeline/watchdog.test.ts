import { expect, test } from 'vitest'
import { startWatchdog } from '../../src/pipeline/watchdog.ts'
import { manualClock } from '../support/manual-clock.ts'

test('silence for as long as the limit is reported once', async () => {
  const clock = manualClock()
  const silences: number[] = []
  startWatchdog(clock, 1000, (limit) => silences.push(limit))
  await clock.advance(5000)
  expect(silences).toEqual([1000])
})

test('every sign of life begins the wait anew, with the limit that it brings', async () => {
  const clock = manualClock()
  const silences: number[] = []
  const watchdog = startWatchdog(clock, 1000, (limit) => silences.push(limit))
  await clock.advance(900)
  watchdog.feed(300)
  await clock.advance(299)
  expect(silences).toEqual([])
  await clock.advance(1)
  expect(silences).toEqual([300])
})

test('a stopped watchdog says nothing and leaves no timer', async () => {
  const clock = manualClock()
  const silences: number[] = []
  startWatchdog(clock, 1000, (limit) => silences.push(limit)).stop()
  await clock.advance(5000)
  expect(silences).toEqual([])
  expect(clock.sleepers).toBe(0)
})
