/** The bootstrap as npm runs it: a process group whose members all get the terminal's signal. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

const bootstrap = fileURLToPath(new URL('../../../tools/bootstrap.js', import.meta.url))
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bellows-run-node-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function start(program: string, ...args: readonly string[]) {
  const file = join(folder, 'program.ts')
  await writeFile(file, program)
  const child = spawn(process.execPath, [bootstrap, file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  const inOutput = (text: string) =>
    new Promise<void>((resolve) => {
      const look = () => output.includes(text) && resolve()
      child.stdout.on('data', look)
      look()
    })
  child.stdout.on('data', (data) => {
    output += data
  })
  const end = once(child, 'close').then(([code]) => ({ code, output: output.trim() }))
  return { child, inOutput, end }
}

test('arguments, output and exit code are those of the TypeScript program', async () => {
  const { end } = await start(
    'const all: string[] = process.argv.slice(2); console.log(all.join("|")); process.exit(75)',
    '--model',
    'two words',
  )
  expect(await end).toEqual({ code: 75, output: '--model|two words' })
})

test('the program runs on Node 24, whatever Node there is', async () => {
  const { end } = await start('console.log(process.versions.node.split(".")[0])')
  expect(await end).toEqual({ code: 0, output: '24' })
})

test('a Ctrl-C that comes twice, from the terminal and from npm, reaches the program once', async () => {
  const program = `
    let times: number = 0
    process.on('SIGINT', () => { times++; if (times === 1) setTimeout(() => { console.log('times ' + times); process.exit(130) }, 300) })
    setInterval(() => {}, 1000)
    console.log('ready')`
  const { child, inOutput, end } = await start(program)
  await inOutput('ready')
  child.kill('SIGINT')
  child.kill('SIGINT')
  expect(await end).toEqual({ code: 130, output: 'ready\ntimes 1' })
})

test('a program that a signal ends gives 128 and its number', async () => {
  const { child, inOutput, end } = await start(`setInterval(() => {}, 1000); console.log('ready')`)
  await inOutput('ready')
  child.kill('SIGTERM')
  expect(await end).toEqual({ code: 143, output: 'ready' })
})
