/** A worker that is told to stop while what it waits for never answers, in a process of its own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fewestSettings } from '../support/settings.ts'
import { settings } from './settings.ts'

const shutdownSeconds = 2
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bellows-test-'))
  await writeFile(join(folder, 'offerings.json'), JSON.stringify(settings.offerings))
})
afterAll(() => rm(folder, { recursive: true }))

function start() {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'stuck-worker.ts')], {
    env: {
      PATH: process.env.PATH,
      ...fewestSettings,
      BELLOWS_OFFERINGS: join(folder, 'offerings.json'),
      BELLOWS_IMAGE_SDXL: 'registry.example/sdxl:1',
      BELLOWS_PORT: '0',
      BELLOWS_POLL_SECONDS: '0.1',
      BELLOWS_SHUTDOWN_SECONDS: String(shutdownSeconds),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines: { readonly msg: string; readonly left?: readonly string[] }[] = []
  const listeners = new Set<() => void>()
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(JSON.parse(line))
    for (const look of listeners) look()
  })
  const said = (text: string) =>
    new Promise<void>((resolve) => {
      listeners.add(() => lines.some(({ msg }) => msg === text) && resolve())
    })
  return { child, lines, said, exited: once(child, 'close').then(([code]) => code) }
}

test('a worker whose teardown hangs fails within its shutdown time and 20 s, saying what is left', async () => {
  const worker = start()
  await worker.said('tearing down')
  const told = performance.now()
  worker.child.kill('SIGTERM')
  expect(await worker.exited).toBe(1)
  expect((performance.now() - told) / 1000).toBeLessThan(shutdownSeconds + 20)
  const { left } = worker.lines.find(({ msg }) => msg === 'stopped, and left what did not end in time') ?? {}
  expect(left).toEqual([
    expect.stringMatching(/^jobs [0-9a-f]{24} \(still there after 3 s\)$/),
    'stacks and connections (still there after 17 s)',
  ])
})

test('a second signal ends it at once', async () => {
  const worker = start()
  await worker.said('tearing down')
  worker.child.kill('SIGTERM')
  await worker.said('SIGTERM: no new jobs; once more stops at once')
  worker.child.kill('SIGHUP')
  expect(await worker.exited).toBe(130)
})
