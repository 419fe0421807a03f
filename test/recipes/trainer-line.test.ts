import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseTrainerLine, printable } from '../../src/recipes/trainer-line.ts'

test('a step line gives step, total, loss and pace', () => {
  const line = '{"type":"step","step":3,"total":60,"loss":0.91,"secondsPerStep":0.1,"learningRate":1e-4}'
  expect(parseTrainerLine(line)).toEqual({
    type: 'step',
    step: 3,
    total: 60,
    loss: 0.91,
    secondsPerStep: 0.1,
  })
})

test.each(['NaN', 'Infinity', '-Infinity'])('a loss of %s loses the number, not the line', (loss) => {
  const line = `{"type":"step","step":3,"total":60,"loss":${loss},"secondsPerStep":NaN}`
  expect(parseTrainerLine(line)).toEqual({
    type: 'step',
    step: 3,
    total: 60,
    loss: null,
    secondsPerStep: null,
  })
})

test('a message that speaks of NaN is left as it is', () => {
  const line = '{"type":"warning","message":"the loss was NaN, \\"Infinity\\" before","at":NaN}'
  expect(parseTrainerLine(line)).toEqual({
    type: 'warning',
    message: 'the loss was NaN, "Infinity" before',
  })
})

test('a message is cut after 500 characters, and never inside one', () => {
  const said = parseTrainerLine(JSON.stringify({ type: 'warning', message: `${'a'.repeat(499)}😀\ud83d` }))
  expect(said).toEqual({ type: 'warning', message: `${'a'.repeat(499)}\ufffd` })
})

test.each([
  '',
  'Traceback (most recent call last):',
  '[]',
  'null',
  '{"type":"rm -rf"}',
  '{"type":"step","step":-1,"total":1}',
])('what is not of the contract is dropped: %s', (line) => expect(parseTrainerLine(line)).toBeUndefined())

test('a message can not carry control characters into a log or a terminal', () => {
  const line = JSON.stringify({ type: 'warning', message: 'a\u001b[31mred\u0007\r\nnext' })
  expect(parseTrainerLine(line)).toEqual({ type: 'warning', message: 'a [31mred next' })
})

test('no line, however strange, throws', () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (line) => void parseTrainerLine(line)))
})

test('what can be shown has no control characters, no breaks and no marks that turn the reading direction', () => {
  const marks =
    '\u0000\n\r\t\u001b\u007f\u0085\u009b\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff'
  for (const mark of marks)
    expect(printable(`red${mark}kite`), mark.charCodeAt(0).toString(16)).toBe('red kite')
  expect(printable(`\u202e red${marks}kite \u001b`)).toBe('red kite')
  expect(printable(' kite 👩🏽‍🚒, ')).toBe('kite 👩🏽‍🚒,')
  expect(printable('half \ud83d')).toBe('half \ufffd')
})
