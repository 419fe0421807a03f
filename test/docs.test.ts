/** What the documents show of the program is the program. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { endings, type HoldRule } from '../src/pipeline/endings.ts'
import { duration } from '../src/pipeline/limits.ts'

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
  /** By what comes back of 1,000 points after a quarter of the steps, and after none, with 100 points of machines. */
  const rules: Readonly<Record<string, string>> = {
    '0, 0': 'none',
    '1000, 1000': 'all',
    '750, 1000': 'unused',
    '900, 900': 'less machines',
    '750, 900': 'unused, at most less machines',
  }
  const waits = ({ atMostMs }: HoldRule) =>
    typeof atMostMs === 'number' ? duration(atMostMs) : '`BELLOWS_CAPACITY_WAIT_HOURS`'
  const rows = Object.entries(endings).map(
    ([name, { status, refund, anotherMachine, resume, alert, hold }]) => {
      const after = (trainedSteps: number) =>
        refund({ charged: 1000, trainedSteps, plannedSteps: 400, spent: 100 })
      const rule = rules[`${after(100)}, ${after(0)}`]
      return `| \`${name}\` | ${status} | ${rule} |${number(anotherMachine)} |${number(resume)} |${hold ? ` ${waits(hold)}` : ''} |${alert ? ' yes' : ''} |`
    },
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

test('every output of the base that the operations guide names is one', () => {
  const named = [...read('docs/operations.md').matchAll(/pulumi stack output (\w+)/g)].map(([, name]) => name)
  const outputs = [...read('infra/index.ts').matchAll(/^export const (\w+)/gm)].map(([, name]) => name)
  expect(named).toContain('workerPolicy')
  expect(outputs).toEqual(expect.arrayContaining(named))
})
