import { expect, test } from 'vitest'
import { shownRun } from '../../src/operations/show.ts'
import type { Run } from '../../src/trainings/runs.ts'

const at = new Date('2026-01-02T03:04:05.678Z')
const event = { trainingId: 'a', number: 7, at, worker: 'one', token: 1, kind: 'warning' }

test('a run is shown as JSON, and its timeline as lines', () => {
  const run = { id: 'a', crashes: 2 } as Run
  expect(shownRun(run, [{ ...event, message: 'too dark' }])).toBe(
    '{\n  "id": "a",\n  "crashes": 2\n}\n   7 2026-01-02T03:04:05.678Z warning    too dark',
  )
})

test('what strangers have written into a run or an event is no command to a terminal, nor a line of its own', () => {
  const marks = '\u001b[2J\u009b2J\r\u2028\u202e\u061c\u007f\u2066'
  const message = `red${marks}\n   8 all is well`
  const run = { id: 'a', outcome: { ending: 'trained', sentence: `red${marks}kite` } } as Run
  const shown = shownRun(run, [{ ...event, message }])
  expect(shown).not.toMatch(/(?!\n)[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u)
  expect(JSON.parse(shown.slice(0, shown.indexOf('\n}') + 2))).toEqual(run)
  expect(shown.split('\n').at(-1)).toMatch(/^ {3}7 .* red +8 all is well$/)
})
