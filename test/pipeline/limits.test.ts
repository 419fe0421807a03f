import { expect, test } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { duration, within } from '../../src/pipeline/limits.ts'
import { manualClock } from '../support/manual-clock.ts'

const forever = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

test('work that passes its limit is aborted, and the failure names the phase', async () => {
  const clock = manualClock()
  const work = within('boot', 60_000, clock, new AbortController().signal, forever)
  const rejected = expect(work).rejects.toMatchObject({
    reason: 'step-overran',
    message: 'boot took longer than 60 s',
  })
  await clock.advance(60_000)
  await rejected
})

test('work that does not listen to its signal is left behind at the limit', async () => {
  const clock = manualClock()
  const work = within('pull', 1000, clock, new AbortController().signal, () => new Promise<never>(() => {}))
  const rejected = expect(work).rejects.toBeInstanceOf(Failure)
  await clock.advance(1000)
  await rejected
})

test('an abort from outside ends the work with the outer reason', async () => {
  const outer = new AbortController()
  const work = within('staging', 1000, manualClock(), outer.signal, forever)
  outer.abort(new Error('cancelled'))
  await expect(work).rejects.toThrow('cancelled')
})

test('work whose outer signal is aborted already is not begun', async () => {
  let begun = false
  const work = within('boot', 1000, manualClock(), AbortSignal.abort(new Error('cancelled')), async () => {
    begun = true
  })
  await expect(work).rejects.toThrow('cancelled')
  expect(begun).toBe(false)
})

test('work that is done in time leaves no timer behind', async () => {
  const clock = manualClock()
  expect(await within('boot', 1000, clock, new AbortController().signal, async () => 7)).toBe(7)
  expect(clock.sleepers).toBe(0)
})

test('a wall clock that jumps does not make a limit pass', async () => {
  const clock = manualClock()
  let done = false
  const work = within('boot', 60_000, clock, new AbortController().signal, forever).catch(() => {
    done = true
  })
  clock.jump(3_600_000)
  await clock.advance(59_000)
  expect(done).toBe(false)
  await clock.advance(1000)
  await work
  expect(done).toBe(true)
})

test.each([
  [90_000, '90 s'],
  [119_000, '119 s'],
  [120_000, '2 min'],
  [12 * 60_000, '12 min'],
  [119 * 60_000, '119 min'],
  [120 * 60_000, '2 h'],
  [3 * 3_600_000, '3 h'],
])('%i ms reads as %s', (milliseconds, text) => {
  expect(duration(milliseconds)).toBe(text)
})
