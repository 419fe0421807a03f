/** A server that a check starts for itself ends with the check, however that ends. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'

const module = new URL('../../tools/infra/server-beside.ts', import.meta.url)
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bellows-beside-'))
  const server =
    "require('node:http').createServer((_, r) => r.end()).listen(Number(process.argv[3]), '127.0.0.1')"
  await writeFile(join(folder, 'server.cjs'), server)
  await writeFile(
    join(folder, 'check.ts'),
    `import { createServer } from 'node:net'
     import { startBeside } from ${JSON.stringify(module.href)}
     const free = createServer().listen(0, '127.0.0.1')
     await new Promise((resolve) => free.once('listening', resolve))
     const { port } = free.address()
     await new Promise((resolve) => free.close(resolve))
     const argv = [process.execPath, ${JSON.stringify(join(folder, 'server.cjs'))}]
     await using server = await startBeside({ argv, env: {} }, port, '/')
     console.log(server.pid)
     await new Promise((resolve) => process.stdin.once('end', resolve).resume())`,
  )
})
afterAll(() => rm(folder, { recursive: true }))

const isThere = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function startCheck() {
  const check = spawn(process.execPath, [join(folder, 'check.ts')], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [line] = (await once(createInterface({ input: check.stdout }), 'line')) as [string]
  const pid = Number(line)
  expect(isThere(pid)).toBe(true)
  return { check, pid, end: once(check, 'exit') }
}

test.each(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGKILL'] as const)(
  'a check that is ended by %s leaves none',
  async (signal) => {
    const { check, pid, end } = await startCheck()
    check.kill(signal)
    await end
    await vi.waitFor(() => expect(isThere(pid)).toBe(false), { timeout: 10_000 })
  },
)

test('a check that comes to its end leaves none', async () => {
  const { check, pid, end } = await startCheck()
  check.stdin.end()
  expect((await end)[0]).toBe(0)
  expect(isThere(pid)).toBe(false)
})

test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
  'what a command has started ends with a check that is ended by %s',
  async (signal) => {
    const file = join(folder, 'command.ts')
    await writeFile(
      file,
      `import { runInSession } from ${JSON.stringify(new URL('../../tools/infra/session.ts', import.meta.url).href)}
     const started = "const { spawn } = require('node:child_process');" +
       "process.on('SIGTERM', () => {}); process.on('SIGINT', () => {});" +
       "const child = spawn('sleep', ['600'], { stdio: 'ignore' });" +
       "require('node:fs').writeFileSync('pid.new', String(child.pid)); require('node:fs').renameSync('pid.new', 'pid')"
     runInSession([process.execPath, '-e', started + ';setInterval(() => {}, 1000)'], { cwd: ${JSON.stringify(folder)} })`,
    )
    const check = spawn(process.execPath, [file], { stdio: 'inherit' })
    const pid = await vi.waitFor(async () => Number(await readFile(join(folder, 'pid'), 'utf8')), {
      timeout: 20_000,
    })
    expect(isThere(pid)).toBe(true)
    const end = once(check, 'exit')
    check.kill(signal)
    expect((await end)[1]).toBe(signal)
    await vi.waitFor(() => expect(isThere(pid)).toBe(false), { timeout: 10_000 })
    await rm(join(folder, 'pid'))
  },
)
