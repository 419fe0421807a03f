/** What the documents show of the program is the program. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { endings } from '../src/pipeline/endings.ts'

const read = (path: string) => readFileSync(join(import.meta.dirname, '..', path), 'utf8')

function section(path: string, name: string): string {
  const [, text] = read(path).split(new RegExp(`<!-- /?${name} -->`))
  if (text === undefined) throw new Error(`${path} has no section ${name}`)
  return text
}

test('the README shows the workflow as it is', () => {
  const [, shown] = section('README.md', 'workflow').split(/```(?:ts)?\n/)
  expect(read('src/pipeline/train-lora.ts')).toContain(shown)
})

test('the operations guide lists every ending with what follows from it', () => {
  const number = (value: number) => (value > 0 ? ` ${value}` : '')
  const rows = Object.entries(endings).map(
    ([name, { status, refund, anotherMachine, resume, alert }]) =>
      `| \`${name}\` | ${status} | ${refund} |${number(anotherMachine)} |${number(resume)} |${alert ? ' yes' : ''} |`,
  )
  const shown = section('docs/operations.md', 'endings').trim().split('\n').slice(2)
  expect(shown).toEqual(rows)
})

test('every link from one document to another leads somewhere', () => {
  /** As GitHub makes the name of a heading's anchor. */
  const anchor = (heading: string) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .trim()
      .replaceAll(' ', '-')
  const anchorsOf = (path: string) =>
    [...read(path).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchor(heading))
  const documents = globSync(['*.md', 'docs/**/*.md', 'bench/*.md'], { cwd: join(import.meta.dirname, '..') })
  const broken = documents.flatMap((path) =>
    [...read(path).matchAll(/\]\((?!\w+:)([^)#\s]*)#?([^)\s]*)\)/g)].flatMap(([, to = '', name]) => {
      const target = to ? join(dirname(path), to) : path
      if (!existsSync(join(import.meta.dirname, '..', target))) return [`${path}: ${target}`]
      return name && !anchorsOf(target).includes(name) ? [`${path}: ${target}#${name}`] : []
    }),
  )
  expect(documents.length).toBeGreaterThan(5)
  expect(broken).toEqual([])
})
