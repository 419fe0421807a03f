/** The engine is real here; only the program is simple, so that no provider is needed. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { startObjectStore } from '../../local/emulator/object-store.ts'
import { membersOf } from '../../src/cloud/pulumi/process-session.ts'
import type { StackError } from '../../src/cloud/pulumi/stack-child.ts'
import type { StackLine, StackOperation } from '../../src/cloud/pulumi/stack-messages.ts'
import { pulumiStacks, type StacksOptions } from '../../src/cloud/pulumi/stacks.ts'
import { Secret } from '../../src/secret.ts'
import { workerFault } from '../../src/worker-fault.ts'
import { devEnvironment } from '../support/dev-environment.ts'
import { engine } from './engine.ts'

const hi = { inputs: { message: 'hi' } }

test('a stack is made, read, listed, made again, destroyed and gone', async () => {
  using real = engine()
  const { stacks } = real
  expect(await stacks.outputs('one')).toBeUndefined()
  expect(await stacks.up('one', hi)).toMatchObject({ message: 'hi' })
  expect(await stacks.outputs('one')).toMatchObject({ message: 'hi' })
  expect(await stacks.list()).toEqual([{ name: 'one', updatedAt: expect.any(Date) }])
  expect(await stacks.up('one', { inputs: { message: 'again' } })).toMatchObject({ message: 'again' })
  await stacks.destroy('one')
  await stacks.destroy('one')
  expect(await stacks.list()).toEqual([])
  expect(real.leftovers()).toEqual([])
})

test('the state lives in a bucket with credentials of its own, beside the cloud’s', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'bellows-state-'))
  mkdirSync(path.join(folder, 'pulumi-state'))
  const store = await startObjectStore(devEnvironment.versitygw, folder)
  try {
    using real = engine({
      backendUrl: `s3://pulumi-state?endpoint=${store.endpoint}&s3ForcePathStyle=true&region=${store.region}`,
      backendCredentials: store,
      environment: { AWS_ACCESS_KEY_ID: 'another', AWS_SECRET_ACCESS_KEY: new Secret('another') },
    })
    expect(await real.stacks.up('one', hi)).toMatchObject({ message: 'hi' })
    expect((await real.stacks.list()).map(({ name }) => name)).toEqual(['one'])
    await real.stacks.destroy('one')
    expect(await real.stacks.list()).toEqual([])

    await Promise.all([real.stacks.up('two', hi), real.stacks.up('three', hi)])
    const file = path.join(folder, 'pulumi-state', '.pulumi/stacks/bellows-machines-test/two.json')
    writeFileSync(file, '')
    expect((await real.stacks.list()).map(({ name }) => name).sort()).toEqual(['three', 'two'])
    await real.stacks.discard('two')
    expect((await real.stacks.list()).map(({ name }) => name)).toEqual(['three'])
  } finally {
    await store.stop()
    rmSync(folder, { recursive: true, force: true })
  }
})

test('a secret of the program is not in the state as plain text', async () => {
  using real = engine()
  await real.stacks.up('one', hi)
  const files = globSync('.pulumi/stacks/**/*.json', { cwd: fileURLToPath(real.options.backendUrl) })
  const state = files.map((file) => readFileSync(new URL(file, `${real.options.backendUrl}/`), 'utf8')).join()
  expect(state).toContain('"message"')
  expect(state).not.toContain('a canary')
})

test('a program that fails is told in its own words, and its stack can be destroyed', async () => {
  using real = engine()
  const fail = 'api error InsufficientInstanceCapacity: none'
  const failing = real.stacks.up('one', { inputs: { message: '', fail } })
  await expect(failing).rejects.toMatchObject({ kind: 'failed', message: expect.stringContaining(fail) })
  await real.stacks.destroy('one')
  expect(await real.stacks.list()).toEqual([])
})

test('an operation that hangs is stopped at its deadline, tried once more, and reported', async () => {
  let retries = 0
  using real = engine({ deadlinesMs: { up: 4_000 }, graceMs: 3_000 })
  const hanging = real.stacks.up(
    'one',
    { inputs: { message: '', hang: true } },
    { beforeRetry: async () => void retries++ },
  )
  await expect(hanging).rejects.toMatchObject({ kind: 'overran', message: expect.stringContaining('4 s') })
  expect(retries).toBe(1)
  expect(real.leftovers()).toEqual([])
  await real.stacks.destroy('one')
  expect(await real.stacks.list()).toEqual([])
})

test('a child that is deaf to SIGINT is killed with all that it started', async () => {
  using real = engine()
  const impatient = pulumiStacks({ ...real.options, deadlinesMs: { up: 4_000 }, graceMs: 500 })
  const before = stackProcesses()
  const deaf = impatient.up('one', { inputs: { message: '', hang: true, deaf: true } })
  await expect(deaf).rejects.toMatchObject({ kind: 'overran' })
  expect(stackProcesses()).toEqual(before)
  // Whether or not its lock was left behind, its holder is dead: the stack is usable.
  expect(await real.stacks.up('one', hi)).toMatchObject({ message: 'hi' })
})

test('an abort ends the operation with the signal’s reason', async () => {
  const controller = new AbortController()
  using real = engine({ onLine: whenItHangs(() => controller.abort(new Error('cancelled by its owner'))) })
  const aborted = real.stacks.up(
    'one',
    { inputs: { message: '', hang: true } },
    { signal: controller.signal },
  )
  await expect(aborted).rejects.toThrow('cancelled by its owner')
  expect(real.leftovers()).toEqual([])
  await real.stacks.destroy('one')
})

test('operations on one stack take turns, and those on others go side by side', async () => {
  const order: string[] = []
  using real = engine({
    onLine: (stack, operation, { line }) => {
      if (line === 'result') order.push(`${stack} ${operation}`)
    },
  })
  const { stacks } = real
  await Promise.all([stacks.up('one', hi), stacks.destroy('one'), stacks.up('two', hi)])
  expect(order.filter((each) => each.startsWith('one'))).toEqual(['one up', 'one destroy'])
  expect((await stacks.list()).map(({ name }) => name)).toEqual(['two'])
})

test('a locked stack is left to its holder until that one’s lease is over', async () => {
  const holding = Promise.withResolvers<void>()
  const controller = new AbortController()
  using real = engine({ onLine: whenItHangs(holding.resolve) })
  const holder = real.stacks.up('one', { inputs: { message: '', hang: true } }, { signal: controller.signal })
  const ended = holder.catch(() => {})
  await holding.promise
  const other = pulumiStacks(real.options)
  const refused = (await other.destroy('one').catch((error) => error)) as StackError
  expect(refused).toMatchObject({ kind: 'locked' })
  expect(refused.lock?.at.getTime()).toBeGreaterThan(Date.now() - 60_000)
  const asked: unknown[] = []
  await other.destroy('one', { mayCancelLock: (lockedAt) => asked.push(lockedAt) > 0 })
  expect(asked).toEqual([refused.lock?.at])
  expect(await other.list()).toEqual([])
  controller.abort(new Error('over'))
  await ended
})

test('a worker that ends leaves nothing of an operation under way, and takes it for no failure', async () => {
  const holding = Promise.withResolvers<void>()
  using real = engine({ onLine: whenItHangs(holding.resolve) })
  const before = stackProcesses()
  let settled = false
  const settle = () => {
    settled = true
  }
  real.stacks.up('one', { inputs: { message: '', hang: true } }).then(settle, settle)
  await holding.promise
  real.stacks.list().then(settle, settle)
  await real.stacks.close()
  expect(stackProcesses()).toEqual(before)
  expect(real.leftovers()).toEqual([])
  expect(settled).toBe(false)
  const next = pulumiStacks(real.options)
  await next.destroy('one')
  expect(await next.list()).toEqual([])
})

test('when a worker is killed its operation ends by itself, and leaves no lock', async () => {
  using real = engine()
  const program = fileURLToPath(new URL('./programs/worker.ts', import.meta.url))
  const worker = spawn(process.execPath, [program, JSON.stringify(real.options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(worker.stdout, 'data')
  const children = stackProcesses(worker.pid)
  expect(children).toHaveLength(1)
  worker.kill('SIGKILL')
  for (const child of children) await gone(child)
  await real.stacks.destroy('one')
  expect(await real.stacks.list()).toEqual([])
})

const broken: readonly (readonly [string, (state: string) => string])[] = [
  ['empty', () => ''],
  ['cut', (state) => state.slice(0, state.length / 2)],
  ['no-json', () => 'not a state at all'],
  ['of-another-form', (state) => state.replace('"version":3', '"version":99')],
  ['changed-by-hand', (state) => state.replace(/"magic":"\w{8}/, '"magic":"00000000')],
]

test('a stack whose state can’t be read is told, is listed with the others, and can be discarded', async () => {
  using real = engine()
  const { stacks } = real
  await stacks.up('good', hi)
  const state = readFileSync(fileOf(real.options, 'good'), 'utf8')
  const names = broken.map(([name, change]) => {
    writeFileSync(fileOf(real.options, name), change(state.replaceAll('/good', `/${name}`)))
    return name
  })
  const told = await Promise.allSettled(names.map((name) => stacks.destroy(name)))
  for (const each of told) expect(each).toMatchObject({ reason: { kind: 'unreadable' } })
  expect((await stacks.list()).map(({ name }) => name).sort()).toEqual([...names, 'good'].sort())
  await Promise.all(names.map((name) => stacks.discard(name)))
  expect(await stacks.list()).toMatchObject([{ name: 'good' }])
})

test('one unreadable stack keeps no other from being made, read, listed or destroyed', async () => {
  using real = engine()
  const { stacks } = real
  await stacks.up('one', hi)
  const file = fileOf(real.options, 'one')
  writeFileSync(file, '')
  expect(await stacks.up('two', hi)).toMatchObject({ message: 'hi' })
  expect(await stacks.outputs('two')).toMatchObject({ message: 'hi' })
  expect(await stacks.list()).toEqual(
    ['one', 'two'].map((name) => ({ name, updatedAt: statSync(fileOf(real.options, name)).mtime })),
  )
  await stacks.destroy('two')
  expect([await stacks.has('one'), await stacks.has('two')]).toEqual([true, false])
  await stacks.discard('one')
  await stacks.discard('one')
  expect([await stacks.has('one'), existsSync(file)]).toEqual([false, false])
  expect(await stacks.up('one', hi)).toMatchObject({ message: 'hi' })
})

test('a wrong passphrase is not taken for a broken state, which would be thrown away', async () => {
  using real = engine()
  await real.stacks.up('one', hi)
  const other = pulumiStacks({ ...real.options, passphrase: new Secret('another passphrase') })
  await expect(other.destroy('one')).rejects.toMatchObject({ kind: 'failed' })
})

test('a missing Pulumi is this worker’s fault, and told as that', async () => {
  using real = engine({
    pulumi: '/nowhere/bin/pulumi',
    environment: { PATH: path.dirname(process.execPath) },
  })
  const failed = (await real.stacks.up('one', hi).catch((error) => error)) as StackError
  expect(workerFault(failed)).toBe('the command /nowhere/bin/pulumi was not found on this worker')
})

test('a temporary folder that can’t be made is this worker’s fault', async () => {
  using real = engine({ temporaryFolder: '/dev/null/nothing' })
  const failed = await real.stacks.list().catch((error) => error)
  expect(workerFault(failed)).toContain('this worker')
})

function fileOf({ backendUrl, project }: StacksOptions, stack: string): string {
  return path.join(fileURLToPath(backendUrl), '.pulumi', 'stacks', project, `${stack}.json`)
}

/** For `onLine`: the program has come to the resource that never ends. */
function whenItHangs(then: () => void) {
  return (_stack: string, _operation: StackOperation, line: StackLine) => {
    if (line.line === 'resource' && line.doing === 'hang') then()
  }
}

/** Children of this process, or of another, that run an operation. */
function stackProcesses(parent = process.pid): readonly number[] {
  return globSync('/proc/[0-9]*/stat').flatMap((file) => {
    try {
      const [, , rest] = /^(\d+) \((?:.*)\) (.*)$/s.exec(readFileSync(file, 'utf8')) ?? []
      const id = Number(file.split('/')[2])
      const [state, itsParent] = rest?.split(' ') ?? []
      const line = readFileSync(`/proc/${id}/cmdline`, 'utf8')
      return state !== 'Z' && Number(itsParent) === parent && line.includes('stack-process') ? [id] : []
    } catch {
      return []
    }
  })
}

async function gone(session: number): Promise<void> {
  await expect.poll(() => membersOf(session), { timeout: 30_000, interval: 100 }).toEqual([])
}
