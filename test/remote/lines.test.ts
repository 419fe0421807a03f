import { expect, test } from 'vitest'
import { lineReader, tailOf } from '../../src/remote/lines.ts'

const read = (...chunks: readonly Buffer[]): readonly string[] => {
  const lines: string[] = []
  const reader = lineReader((line) => lines.push(line))
  for (const chunk of chunks) reader.write(chunk)
  reader.end()
  return lines
}

test('lines come out whole however the bytes were cut, also in the middle of a character', () => {
  const bytes = Buffer.from('änna\n\n日本\nlast')
  for (let cut = 0; cut <= bytes.length; cut++)
    expect(read(bytes.subarray(0, cut), bytes.subarray(cut))).toEqual(['änna', '', '日本', 'last'])
})

test('a line is cut at 64 KiB, over many chunks too, and the next one is whole', () => {
  const lines = read(...Array.from({ length: 10 }, () => Buffer.alloc(10_000, 'x')), Buffer.from('\nnext\n'))
  expect(lines.map((line) => line.length)).toEqual([65_536, 4])
})

test('nothing that a terminal would obey stays in a line, and its indentation does', () => {
  expect(read(Buffer.from('  File "\u001b[2Ja.py"\u0000\u009b\u202e!\n'))).toEqual(['  File "a.py" !'])
})

test('a line that follows a progress bar is a line of its own, however the bytes were cut', () => {
  const bytes = Buffer.from('10%\r20%\r{"step":1}\nnext\r\n\r\nlast\r')
  const lines = ['10%', '20%', '{"step":1}', 'next', '', 'last']
  for (let cut = 0; cut <= bytes.length; cut++)
    expect(read(bytes.subarray(0, cut), bytes.subarray(cut))).toEqual(lines)
})

test('a tail keeps the last lines only', () => {
  const tail = tailOf(2)
  for (const line of ['a', 'b', 'c']) tail.add(line)
  expect(tail.lines).toEqual(['b', 'c'])
})
