import { expect, test } from 'vitest'
import { startPace } from '../../src/pipeline/training/pace.ts'
import { manualClock } from '../support/manual-clock.ts'

const minute = 60_000
const least = 10 * minute

test('parts that are slow give the next one five times as long, and quick ones the least', async () => {
  const clock = manualClock()
  const pace = startPace(clock)
  expect(pace('caching images', 1, least)).toBe(least)
  await clock.advance(minute / 2)
  expect(pace('caching images', 2, least)).toBe(least)
  await clock.advance(6 * minute)
  expect(pace('caching images', 4, least)).toBe(15 * minute)
  await clock.advance(minute)
  expect(pace('caching images', 5, least)).toBe(15 * minute)
})

test('another work has a pace of its own', async () => {
  const clock = manualClock()
  const pace = startPace(clock)
  pace('caching images', 1, least)
  await clock.advance(5 * minute)
  expect(pace('caching images', 2, least)).toBe(25 * minute)
  expect(pace('step', 1, least)).toBe(least)
})

test('neither a clock that jumps nor a count that goes back makes a wait without end', async () => {
  const clock = manualClock()
  const pace = startPace(clock)
  pace('step', 1, least)
  clock.jump(365 * 24 * 60 * minute)
  expect(pace('step', 2, least)).toBe(180 * minute)
  clock.jump(-2 * 365 * 24 * 60 * minute)
  expect(pace('step', 3, least)).toBe(180 * minute)
  const other = startPace(clock)
  other('step', 5, least)
  await clock.advance(minute)
  expect(other('step', 5, least)).toBe(least)
})
