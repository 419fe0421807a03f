/** `npm start` where it can't work: refused at the start, in a process of its own. */
import { join } from 'node:path'
import { execa } from 'execa'
import { expect, test } from 'vitest'
import { fewestSettings } from './support/settings.ts'

function start(settings: Readonly<Record<string, string>>) {
  return execa(process.execPath, [join(import.meta.dirname, '../src/worker.ts')], {
    env: { PATH: process.env.PATH, ...fewestSettings, ...settings },
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
  })
}

test('a worker without Pulumi, a temporary folder or a database says so, each in a sentence, and does not start', async () => {
  const { exitCode, stderr, stdout } = await start({
    MONGODB_URL: 'mongodb://127.0.0.1:1/bellows?serverSelectionTimeoutMS=300',
    BELLOWS_IMAGE_SDXL: 'registry.example/sdxl:1',
    BELLOWS_IMAGE_FLUX: 'registry.example/flux:1',
    BELLOWS_IMAGE_WAN: 'registry.example/wan:1',
    PULUMI_COMMAND: '/nowhere/pulumi',
    TMPDIR: '/dev/null/tmp',
  })
  expect(exitCode).toBe(78)
  expect(stdout).toBe('')
  const [title, ...problems] = stderr.split('\n')
  expect(title).toBe("This worker can't work:")
  expect(problems).toEqual([
    expect.stringMatching(/^ {2}Pulumi's command "\/nowhere\/pulumi" does not run \(PULUMI_COMMAND\)/),
    expect.stringMatching(/^ {2}The temporary folder \/dev\/null\/tmp can't be written \(TMPDIR\)/),
    expect.stringMatching(/^ {2}The database does not answer \(MONGODB_URL\): .*ECONNREFUSED/),
  ])
})

test('wrong settings are named, and it does not start', async () => {
  const { exitCode, stderr } = await start({ BELLOWS_SECRET: 'x', BELLOWS_HOST: '0.0.0.0' })
  expect(exitCode).toBe(78)
  expect(stderr).toMatch(/^These settings are missing or wrong.*\n {2}BELLOWS_SECRET: is too short/)
})
