import { expect, test } from 'vitest'
import { cut, printable, printableJson, printableLines } from '../src/text.ts'

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
  ['a👩‍👩‍👧b', 8, 'a'],
  ['a👩‍👩‍👧b', 9, 'a👩‍👩‍👧'],
  ['cafe\u0301s', 4, 'caf'],
  ['cafe\u0301s', 5, 'cafe\u0301'],
  ['🇫🇷🇩🇪', 6, '🇫🇷'],
  [`a${'\u0301'.repeat(200)}`, 100, `a${'\u0301'.repeat(99)}`],
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

const marks =
  '\u0000\n\r\t\u001b\u007f\u0085\u009b\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff'

test('what can be shown has no control characters, no breaks and no marks that turn the reading direction', () => {
  for (const mark of marks)
    expect(printable(`red${mark}, kite`), mark.charCodeAt(0).toString(16)).toBe('red , kite')
  expect(printable(`  red${marks.replace('\u001b', '').replace('\u009b', '')}kite\r\n`)).toBe('  red kite')
  expect(printable('kite 👩🏽‍🚒,')).toBe('kite 👩🏽‍🚒,')
  expect(printable('half \ud83d')).toBe('half \ufffd')
})

test('terminal sequences go whole: colours, moves, titles and links, in seven bits and in eight', () => {
  expect(printable('\u001b[31mred\u001b[0m \u009b2Jkite\u001b]0;title\u0007')).toBe('red kite')
  expect(printable('\u001b]8;;https://a.example\u001b\\kite\u001b]8;;\u001b\\')).toBe('kite')
})

test('of several lines the breaks stay', () => {
  expect(printableLines('a\u001b[2J\r\n\tb\u202e\n')).toBe('a\n b\n')
})

test('JSON for a terminal says what it said, in characters that a terminal obeys nothing of', () => {
  const value = { [`red${marks}`]: [`kite 👩🏽‍🚒${marks}`] }
  const json = printableJson(JSON.stringify(value, null, 2))
  expect(json).not.toMatch(/(?!\n)[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\ufeff]/u)
  expect(JSON.parse(json)).toEqual(value)
})
