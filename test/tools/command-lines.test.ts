/** Every script of package.json, started as npm does, but in an environment with nothing in it. */
import { readFileSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const { scripts, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const commands = Object.entries<string>(scripts).filter(([, script]) => script.includes('tools/bootstrap.js'))

let home: string

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'bellows-test-'))
})
afterAll(() => rm(home, { recursive: true }))

function start(script: string, ...options: readonly string[]) {
  return execa('sh', ['-c', `${script} ${options.join(' ')}`], {
    cwd: root,
    env: { PATH: process.env.PATH, HOME: home, TMPDIR: home },
    extendEnv: false,
    stdin: 'ignore',
    reject: false,
  })
}

test('the scripts that are our own programs are found', () => {
  expect(commands.map(([name]) => name)).toEqual(
    expect.arrayContaining(['start', 'bellows', 'demo', 'train', 'faults', 'bench', 'test', 'check']),
  )
})

test.each(commands)(
  '%s answers --help and --version, with no setting and nothing made',
  { timeout: 180_000 }, // the first start after an installation reads all of a program's packages from a cold disk
  async (name, script) => {
    const command = ['start', 'test'].includes(name) ? `npm ${name} --` : `npm run ${name} --`
    const help = await start(script, '--help')
    expect(help).toMatchObject({ exitCode: 0, stderr: '' })
    expect(help.stdout.startsWith(`Usage: ${command} [options]`), help.stdout).toBe(true)
    expect(await start(script, '--version')).toMatchObject({ exitCode: 0, stderr: '', stdout: version })
    expect(await readdir(home)).toEqual([])
  },
)

test('a misspelt option is named, with what there is, and nothing is begun', async () => {
  const { exitCode, stderr } = await start(scripts.demo, '--modle', 'WAN')
  expect(exitCode).toBe(1)
  expect(stderr).toMatch(/unknown option '--modle'[\s\S]*Did you mean --model\?[\s\S]*Usage: npm run demo --/)
  const other = await start(scripts.demo, '--model', 'SD3')
  expect(other.stderr).toMatch(/It must be one of SDXL, FLUX, WAN\./)
})

test('npm run train refuses an unknown override, says what was meant, and begins nothing', async () => {
  const { exitCode, stderr } = await start(
    scripts.train,
    ...['--data', home, '--out', home, '--set', 'learning_rate=0.1'],
  )
  expect(exitCode).toBe(1)
  expect(stderr).toContain('There is no override learning_rate. Did you mean learningRate?')
  expect(await readdir(home)).toEqual([])
})
