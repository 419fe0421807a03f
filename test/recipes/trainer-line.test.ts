import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseTrainerLine } from '../../src/recipes/trainer-line.ts'

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

test('a progress line gives the work, and how much of it is done', () => {
  const line = '{"type":"progress","work":"caching images","done":12,"total":270}'
  expect(parseTrainerLine(line)).toEqual({ type: 'progress', work: 'caching images', done: 12, total: 270 })
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
  expect(said).toEqual({ type: 'warning', message: 'a'.repeat(499) })
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
  expect(parseTrainerLine(line)).toEqual({ type: 'warning', message: 'ared next' })
})

test('no line, however strange, throws', () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (line) => void parseTrainerLine(line)))
})
