/**
 * Operations on Pulumi stacks, so kept that the engine can't take the worker down: each runs in a child
 * process with a process group, a temporary folder and a deadline of its own.
 *
 * waiting → running → answered
 *              └─ deadline or abort → interrupted (SIGINT to the group) → killed (SIGKILL to the session)
 *
 * However it ends, nothing of the child survives: its session is swept and its folder removed before the
 * call settles. A lock left behind is cancelled where its holder is known to be dead: a process of this
 * computer that is gone, or another's when the caller says so (`mayCancelLock`).
 */
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import PQueue from 'p-queue'
import { Secret } from '../secret.ts'
import { isAlive, killSession, signalGroup } from './process-session.ts'
import type { StackLine, StackOperation, StackRequest, StackSummary, Wanted } from './stack-messages.ts'

export type StacksOptions = {
  /** Path of Pulumi's CLI. */
  readonly pulumi: string
  /** Whose `plugins` are used, and filled where one is missing. A login is given as PULUMI_ACCESS_TOKEN. */
  readonly pulumiHome: string
  /** `file:///…`, `s3://…` (R2 too) or `https://api.pulumi.com`. */
  readonly backendUrl: string
  /** Encrypts the secrets in the state. */
  readonly passphrase: Secret
  /** The state is kept per project, so two deployments with one backend need two names. */
  readonly project: string
  /** What providers and backend need: credentials, PULUMI_DEBUG_PROVIDERS. Nothing else is handed down but PATH and HOME. */
  readonly environment?: Readonly<Record<string, string | Secret>>
  /** Module that exports the inline program, `gpuMachine(inputs)`. Default: infra/gpu-vm.ts. */
  readonly program?: URL
  /** Operations at once; each takes about 300 MB. Default 2. */
  readonly atOnce?: number
  /** Milliseconds, from the start of the child. Defaults below. */
  readonly deadlinesMs?: Partial<Record<StackOperation, number>>
  /** From SIGINT to SIGKILL, in milliseconds. Default 15,000. */
  readonly graceMs?: number
  /** Where each operation gets its folder. Default: the system's temporary folder. */
  readonly temporaryFolder?: string
  readonly onLine?: (stack: string, operation: StackOperation, line: StackLine) => void
}

export type StackCall = {
  readonly signal?: AbortSignal
  /** Whether the lease of whoever locked the stack then is provably over. Default: never. */
  readonly mayCancelLock?: (lockedAt: Date | undefined) => boolean | Promise<boolean>
  /** Before an operation that was killed at its deadline is tried a second time. */
  readonly beforeRetry?: () => Promise<void>
}

export type Outputs = Readonly<Record<string, unknown>>

export interface Stacks {
  /** Makes what is wanted; a stack of that name is mended. */
  up(stack: string, wanted: Wanted, call?: StackCall): Promise<Outputs>
  refresh(stack: string, call?: StackCall): Promise<void>
  /** Destroys what the stack holds, and then the stack; none of that name is fine. */
  destroy(stack: string, call?: StackCall): Promise<void>
  /** Removes an empty stack; none of that name is fine. */
  remove(stack: string, call?: StackCall): Promise<void>
  /** Undefined where there is no such stack. */
  outputs(stack: string, call?: StackCall): Promise<Outputs | undefined>
  list(call?: StackCall): Promise<readonly StackSummary[]>
}

export class StackError extends Error {
  readonly kind: 'locked' | 'missing' | 'failed' | 'overran'
  readonly lock: Lock | undefined

  constructor(kind: StackError['kind'], operation: StackOperation, stack: string, message: string) {
    super(`${['Pulumi', operation, stack].filter(Boolean).join(' ')}: ${message}`)
    this.name = 'StackError'
    this.kind = kind
    this.lock = kind === 'locked' ? parseLock(message) : undefined
  }
}

export const deadlines: Readonly<Record<StackOperation, number>> = {
  up: 8 * 60_000,
  refresh: 3 * 60_000,
  destroy: 10 * 60_000,
  remove: 60_000,
  outputs: 60_000,
  cancel: 60_000,
  list: 60_000,
}

type Result = StackLine & { readonly line: 'result' }

const processFile = fileURLToPath(new URL('./stack-process.ts', import.meta.url))
const gpuMachineProgram = new URL('../../infra/gpu-vm.ts', import.meta.url)

export function pulumiStacks(options: StacksOptions): Stacks {
  const queue = new PQueue({ concurrency: options.atOnce ?? 2 })

  const once = (operation: StackOperation, stack: string, signal?: AbortSignal, wanted?: Wanted) =>
    runChild(
      options,
      {
        operation,
        stack,
        wanted,
        project: options.project,
        program: (options.program ?? gpuMachineProgram).href,
      },
      signal,
    )

  /** The operations on one stack take turns, so that one which is still ending does not lock out the next. */
  const turns = new Map<string, Promise<unknown>>()
  const inTurn = <T>(stack: string, work: () => Promise<T>): Promise<T> => {
    const mine = (turns.get(stack) ?? Promise.resolve()).then(() => queue.add(work))
    const settled: Promise<unknown> = mine
      .catch(() => {})
      .then(() => {
        if (turns.get(stack) === settled) turns.delete(stack)
      })
    turns.set(stack, settled)
    return mine
  }

  /** Cancels the lock of a dead holder, if that is all that is in the way. */
  const unlocked = async (operation: StackOperation, stack: string, call: StackCall, wanted?: Wanted) => {
    try {
      return await once(operation, stack, call.signal, wanted)
    } catch (error) {
      if (!(error instanceof StackError) || error.kind !== 'locked') throw error
      if (!isDead(error.lock) && !(await call.mayCancelLock?.(error.lock?.at))) throw error
      await once('cancel', stack, call.signal)
      return once(operation, stack, call.signal, wanted)
    }
  }

  /** Tries a second time after a kill at the deadline. */
  const perform = (operation: StackOperation, stack: string, call: StackCall = {}, wanted?: Wanted) =>
    inTurn(stack, async () => {
      try {
        return await unlocked(operation, stack, call, wanted)
      } catch (error) {
        if (!(error instanceof StackError) || error.kind !== 'overran') throw error
        await call.beforeRetry?.()
        // `up` refreshes by itself where there is something to refresh.
        if (operation === 'destroy') await unlocked('refresh', stack, call).catch(ignoreMissing)
        return unlocked(operation, stack, call, wanted)
      }
    })

  return {
    up: async (stack, wanted, call) => (await perform('up', stack, call, wanted)).outputs ?? {},
    refresh: async (stack, call) => void (await perform('refresh', stack, call)),
    destroy: async (stack, call) => void (await perform('destroy', stack, call).catch(ignoreMissing)),
    remove: async (stack, call) => void (await perform('remove', stack, call).catch(ignoreMissing)),
    outputs: async (stack, call) => (await perform('outputs', stack, call).catch(ignoreMissing))?.outputs,
    list: async (call) =>
      ((await perform('list', '', call)).stacks ?? []).map(({ name, updatedAt }) => ({
        name,
        updatedAt: updatedAt === undefined ? undefined : new Date(updatedAt),
      })),
  }
}

async function runChild(
  options: StacksOptions,
  request: Omit<StackRequest, 'lastResortMs'>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  signal?.throwIfAborted()
  const { operation, stack } = request
  const deadlineMs = options.deadlinesMs?.[operation] ?? deadlines[operation]
  const graceMs = options.graceMs ?? 15_000
  await mkdir(options.temporaryFolder ?? tmpdir(), { recursive: true })
  const folder = await mkdtemp(path.join(options.temporaryFolder ?? tmpdir(), 'bellows-stack-'))
  let overran = false
  try {
    await makeHome(path.join(folder, 'home'), options.pulumiHome)
    const child = execa(process.execPath, [processFile], {
      cwd: folder,
      env: environment(options, folder),
      extendEnv: false,
      detached: true,
      cleanup: false,
      reject: false,
      buffer: { stdout: false, stderr: true },
      maxBuffer: 1_000_000,
    })
    const leader = child.pid
    if (leader === undefined)
      throw new Error('No process could be started for a stack operation', { cause: await child })
    const stop = () => {
      signalGroup(leader, 'SIGINT')
      killer = setTimeout(() => killSession(leader), graceMs)
    }
    let killer: NodeJS.Timeout | undefined
    const deadline = setTimeout(() => {
      overran = true
      stop()
    }, deadlineMs)
    signal?.addEventListener('abort', stop, { once: true })
    try {
      const lastResortMs = deadlineMs + graceMs + 30_000
      child.stdin.on('error', () => {}) // A child that dies at once is reported by its exit.
      child.stdin.write(`${JSON.stringify({ ...request, lastResortMs } satisfies StackRequest)}\n`)
      const last = await lastLine(child.stdout, (line) => options.onLine?.(stack, operation, line))
      const exit = await child
      if (last?.line === 'result') return last
      signal?.throwIfAborted()
      if (overran)
        throw new StackError(
          'overran',
          operation,
          stack,
          `took longer than ${deadlineMs / 1000} s and was stopped`,
        )
      if (last?.line === 'fault') throw new StackError(last.fault.kind, operation, stack, last.fault.message)
      throw new StackError(
        'failed',
        operation,
        stack,
        `ended with ${exit.signal ?? exit.exitCode}, saying: ${exit.stderr.slice(-2000)}`,
      )
    } finally {
      clearTimeout(deadline)
      clearTimeout(killer)
      signal?.removeEventListener('abort', stop)
      killSession(leader)
    }
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** The last line that is a result or a fault; other output of the engine's libraries is passed over. */
async function lastLine(stdout: NodeJS.ReadableStream, onLine: (line: StackLine) => void) {
  let last: StackLine | undefined
  const lines = createInterface({ input: stdout })
  lines.on('line', (text) => {
    const line = parse(text)
    if (!line) return
    onLine(line)
    if (line.line === 'result' || line.line === 'fault') last = line
  })
  await once(lines, 'close')
  return last
}

function parse(text: string): StackLine | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && 'line' in value ? (value as StackLine) : undefined
  } catch {
    return undefined
  }
}

/**
 * A home for one operation, with the real one's plugins: the engine keeps a file for each folder that it
 * ever ran in, and a log for each command, for ever.
 */
async function makeHome(home: string, real: string): Promise<void> {
  await mkdir(path.join(real, 'plugins'), { recursive: true })
  await mkdir(home)
  await symlink(path.join(real, 'plugins'), path.join(home, 'plugins'))
}

/** All that the child sees of the worker's environment: nothing, unless it is named here. */
function environment(options: StacksOptions, folder: string): Record<string, string> {
  const given = Object.entries(options.environment ?? {}).map(([key, value]) => [
    key,
    value instanceof Secret ? value.reveal() : value,
  ])
  return {
    PATH: [path.dirname(options.pulumi), process.env.PATH].join(path.delimiter),
    HOME: process.env.HOME ?? folder,
    TMPDIR: folder,
    ...Object.fromEntries(given),
    PULUMI_HOME: path.join(folder, 'home'),
    PULUMI_BACKEND_URL: options.backendUrl,
    PULUMI_CONFIG_PASSPHRASE: options.passphrase.reveal(),
    PULUMI_SKIP_UPDATE_CHECK: 'true',
    // A finished stack leaves no copy of its state behind.
    PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS: 'true',
    NODE_COMPILE_CACHE: path.join(options.pulumiHome, 'node-compile-cache'),
    NO_COLOR: '1',
  }
}

function ignoreMissing(error: unknown): undefined {
  if (error instanceof StackError && error.kind === 'missing') return undefined
  throw error
}

type Lock = { readonly host: string; readonly pid: number; readonly at: Date }

/** As a file or bucket backend tells it: `created by root@host (pid 7) at 2026-08-01T10:00:00Z`. */
function parseLock(message: string): Lock | undefined {
  const [, host, pid, at] = /created by [^@\s]*@(\S+) \(pid (\d+)\) at (\S+)/.exec(message) ?? []
  if (!host || !pid || !at || Number.isNaN(Date.parse(at))) return undefined
  return { host, pid: Number(pid), at: new Date(at) }
}

function isDead(lock: Lock | undefined): boolean {
  return lock?.host === hostname() && !isAlive(lock.pid)
}
