/** `npm start` where it can't work: refused at the start, in a process of its own. */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { execa } from 'execa'
import { expect, test } from 'vitest'
import type { Clients } from '../src/clients.ts'
import { readConfig } from '../src/config.ts'
import { createLogger } from '../src/log.ts'
import { startWorker } from '../src/worker.ts'
import { fewestSettings } from './support/settings.ts'

function start(settings: Readonly<Record<string, string>>) {
  return execa(process.execPath, [join(import.meta.dirname, '../src/worker.ts')], {
    env: { PATH: process.env.PATH, ...fewestSettings, ...settings },
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
  })
}

test('a worker without Pulumi, a temporary folder or a database says so in a sentence and does not start', async () => {
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

test('where the status page’s port is taken, it does not start, and claims no job before it knows', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  const asked: string[] = []
  const partOf = (name: string) => new Proxy({}, { get: (_, verb) => asked.push(`${name}.${String(verb)}`) })
  const ports = new Proxy({}, { get: (_, name) => partOf(String(name)) })
  let closed = false
  const close = async () => {
    closed = true
  }
  const clients = { ports, close } as unknown as Clients
  const images = {
    BELLOWS_IMAGE_SDXL: 'r.example/s:1',
    BELLOWS_IMAGE_FLUX: 'r.example/f:1',
    BELLOWS_IMAGE_WAN: 'r.example/w:1',
  }
  const config = readConfig({ ...fewestSettings, ...images, BELLOWS_PORT: String(port) })
  const started = startWorker(
    config,
    createLogger('error', 'worker'),
    async () => clients,
    async () => [],
  )
  await expect(started).rejects.toThrow(
    `The status page can't listen on 127.0.0.1, port ${port} (BELLOWS_HOST, BELLOWS_PORT): EADDRINUSE`,
  )
  expect({ asked, closed }).toEqual({ asked: [], closed: true })
  other.close()
})
