import { expect, test } from 'vitest'
import { cut } from '../src/text.ts'

test.for([
  ['abc', 5, 'abc'],
  ['abc', 2, 'ab'],
  ['abc', 0, ''],
  ['abc', -1, ''],
  ['a🐈b', 1, 'a'],
  ['a🐈b', 2, 'a'],
  ['a🐈b', 3, 'a🐈'],
  ['a🐈b', 4, 'a🐈b'],
  ['🐈', 1, ''],
  ['\ud83dab', 2, '\ufffda'],
  ['ab\ude00', 3, 'ab\ufffd'],
] as const)(
  '%j cut at %i is %j: never inside a character, and always well formed',
  ([text, limit, expected]) => {
    expect(cut(text, limit)).toBe(expected)
  },
)

test('text of megabytes is cut without being read to its end', () => {
  expect(cut('🐈'.repeat(8_000_000), 2_001)).toBe('🐈'.repeat(1_000))
})
