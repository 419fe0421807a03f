/** What is planted, by hand; and that a file with all its switches off does what it did. */
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { sampled } from '../../tools/mutants/choose.ts'
import { plant } from '../../tools/mutants/plant.ts'
import { reaching } from '../../tools/mutants/reach.ts'
import { withSwitches } from '../../tools/mutants/switches.ts'
import { rate, type Tried, table } from '../../tools/mutants/table.ts'

function planted(text: string): readonly string[] {
  return plant('some.ts', text).map(({ original, mutant }) => `${original} → ${mutant}`)
}

test.each<[text: string, ...mutants: string[]]>([
  ['const a = b < c', 'b < c → b <= c', 'b < c → b >= c'],
  ['const a = b === c', 'b === c → b !== c'],
  ['const a = b && c', 'b && c → b || c'],
  ['const a = b ?? c', 'b ?? c → b'],
  ['const a = b * c', 'b * c → b / c'],
  ['const a = b + "text"'],
  ['const a = !b', '!b → b'],
  ['const a = true', 'true → false'],
  ['const a = 9', '9 → 10', '9 → 0'],
  ['const a = 60_000', '60_000 → 600000', '60_000 → 0'],
  ['const a = { 1: b }'],
  ['const a = Math.min(b, c)', 'Math.min(b, c) → Math.max(b, c)'],
  ['const a = b.filter(c).length', 'b.filter(c) → b'],
  ['const a = b?.c.filter(d).length'],
  ['const a = [b, c]', '[b, c] → [c]', '[b, c] → [b]'],
  ['const a = b ? c : d', 'b → true', 'b → false'],
  ['if (a) b = c', 'a → true', 'a → false', 'b = c → '],
  ['await a()', 'await a() → '],
  ['function a() { if (b) return c }', 'b → true', 'b → false'],
  ['function a() { if (b) { c()\nreturn d } }', ...['b → true', 'b → false', 'c() → ', 'return d → ']],
])('in %j', (text, ...mutants) => {
  expect(planted(text)).toEqual(mutants)
})

test.each([
  'type A = { readonly b: true; c: 1 | 2 }',
  'import { a } from "./1.ts"',
  'log.info({ a: 1 + 2 }, "text")',
  `throw new Failure('bad-request', \`\${a + 1} is too much\`)`,
  'const a: 1 = b as 2',
  'function A() { this.name = "A" }',
  'for (const [a, b] of c);',
])('nothing in %j', (text) => {
  expect(planted(text)).toEqual([])
})

const program = `
  const seen: number[] = []
  let text = 'a'
  text += 'b'
  ;[1, 2, 3].filter((each) => each > 1).forEach((each) => seen.push(each))
  function size(of: readonly number[]): string {
    if (of.length >= 2 && !of.includes(7)) {
      seen.sort()
      return 'many'
    }
    return 'few'
  }
  globalThis.result = [text, size(seen), seen.length + 1].join()
`

function resultWith(on: number): string {
  const mutants = plant('some.ts', program).map((mutant, index) => ({ ...mutant, id: index + 1 }))
  const context: { result?: string; mutantIsOn(id: number): boolean } = { mutantIsOn: (id) => id === on }
  runInNewContext(stripTypeScriptTypes(withSwitches(program, mutants)), context)
  return context.result ?? ''
}

test('a file with its switches off does what it did, and each switch changes what it says', () => {
  const mutants = plant('some.ts', program)
  const numberOf = (mutant: string) => mutants.findIndex((each) => each.mutant === mutant) + 1
  expect(resultWith(0)).toBe('ab,many,3')
  expect(resultWith(numberOf('each >= 1'))).toBe('ab,many,4')
  expect(resultWith(numberOf('of.includes(7)'))).toBe('ab,few,3')
  expect(resultWith(numberOf('seen.length - 1'))).toBe('ab,many,1')
  const removed =
    mutants.findIndex(({ original, isStatement }) => isStatement && original.startsWith('text +=')) + 1
  expect(resultWith(removed)).toBe('a,many,3')
})

test('a sample is the same for the same seed, also when other faults are there beside it', () => {
  const mutants = plant('some.ts', 'const a = b < c, d = e * f, g = h && i, j = k - l').map((mutant) => ({
    ...mutant,
    file: 'some.ts',
  }))
  const three = sampled(mutants, 3, 'seed')
  expect(three).toHaveLength(3)
  expect(sampled(mutants.toReversed(), 3, 'seed')).toEqual(three)
  expect(sampled(three, 3, 'seed')).toEqual(three)
  expect(sampled(mutants, 3, 'another seed')).not.toEqual(three)
})

test('tests are found that import a file through others', () => {
  const root = join(import.meta.dirname, '../..')
  const [near, far, none] = [
    'test/pipeline/endings.test.ts',
    'test/faults/workflow.test.ts',
    'test/text.test.ts',
  ].map((path) => join(root, path))
  const tests = [`${near}`, `${far}`, `${none}`]
  expect(reaching(tests, new Set([join(root, 'src/pipeline/endings.ts')]))).toEqual([near, far])
})

test('what no test reaches has a column of its own, and no part in the rate', () => {
  const [mutant] = plant('some.ts', 'const a = !b')
  const tried = (['noticed', 'noticed', 'noticed', 'survived', 'unreached'] as const).map(
    (result): Tried => ({ ...(mutant as Tried), id: 1, file: 'src/ledger/some.ts', result }),
  )
  expect(rate(tried)).toBe(0.75)
  expect(table(tried)).toContain('| src/ledger | 5 | 3 | 1 | 1 | 75.0 % |')
})
