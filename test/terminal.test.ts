/** What leaves through a terminal: the worker's log, a command's lines, the demo's. */
import { Writable } from 'node:stream'
import { execa } from 'execa'
import { expect, test } from 'vitest'
import { createDisplay } from '../local/demo/display.ts'

const hostile = 'red\u001b[2J\u009b2J\r\u2028\u202e\u061c\u007f\u2066 kite'
const obeyed = /(?!\n)[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u

/** Both streams of a program of one line, which has `text`. */
async function saidBy(modulePath: string, line: string): Promise<string> {
  const program = `import * as module from '${modulePath}'; const text = ${JSON.stringify(hostile)}; ${line}`
  const { all } = await execa(process.execPath, ['--input-type=module', '--eval', program], { all: true })
  return all
}

test('a log line is JSON that a terminal obeys nothing of', async () => {
  const log = await saidBy(
    `${import.meta.dirname}/../src/log.ts`,
    "module.createLogger('info', text).info({ text }, text)",
  )
  expect(log).not.toMatch(obeyed)
  expect(JSON.parse(log)).toMatchObject({ worker: hostile, text: hostile, msg: hostile })
})

test('a command prints and complains in characters only', async () => {
  const said = await saidBy(
    `${import.meta.dirname}/../src/terminal.ts`,
    'module.print(text + "\\n  two"); module.complain(new Error(text)); module.complain(text)',
  )
  expect(said).not.toMatch(obeyed)
  expect(said.split('\n')).toEqual([
    expect.stringMatching(/^red +kite$/),
    '  two',
    ...Array(2).fill(expect.stringMatching(/^red +kite$/)),
  ])
})

test('what the demo shows moves the cursor by its own will only', () => {
  let written = ''
  const write = (chunk: Buffer, _: unknown, done: () => void) => {
    written += chunk
    done()
  }
  const display = createDisplay(Object.assign(new Writable({ write }), { isTTY: true, columns: 40 }))
  display.activity(hostile)
  display.line(`${hostile}\ntwo`)
  const [activity, line] = written.split('\r\u001b[K')
  expect(activity).toMatch(/^red +kite$/)
  expect(line).toMatch(/^red +kite\ntwo\n$/)
})
