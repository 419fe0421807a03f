/**
 * One operation on a stack, in a child process with its own process group, temporary folder and
 * deadline.
 *
 * running → answered
 *    └─ deadline or abort → interrupted (SIGINT to the group) → killed (SIGKILL to the session)
 *
 * However it ends, nothing of the child survives: its session is swept and its folder removed before the
 * call settles.
 */
import { once } from 'node:events'
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { Secret } from '../../secret.ts'
import { makeTemporaryFolder } from '../../temporary-folder.ts'
import { killSession, signalGroup } from './process-session.ts'
import type { StackFault, StackLine, StackOperation, StackRequest } from './stack-messages.ts'
import { asError, systemErrorIn } from './system-error.ts'

export type StackChildOptions = {
  /** Path of Pulumi's CLI. */
  readonly pulumi: string
  /** The home whose `plugins` are used, and filled where one is missing. A login is passed as PULUMI_ACCESS_TOKEN. */
  readonly pulumiHome: string
  /** `file:///…`, `s3://…` (R2 too) or `https://api.pulumi.com`. */
  readonly backendUrl: string
  /** For a bucket whose credentials differ from those of the machines' cloud, such as R2 beside AWS. */
  readonly backendCredentials?: { readonly accessKeyId: string; readonly secretAccessKey: Secret }
  /** Encrypts the secrets in the state. */
  readonly passphrase: Secret
  /** The state is kept per project, so two deployments with one backend need two names. */
  readonly project: string
  /** What providers need: credentials, network variables, PULUMI_DEBUG_PROVIDERS. Beside it only PATH and HOME. */
  readonly environment?: Readonly<Record<string, string | Secret>>
  /** Module that exports the inline program, `gpuMachine(inputs)`. Default: infra/gpu-vm.ts. */
  readonly program?: URL
  /** Milliseconds, from the start of the child. Defaults below. */
  readonly deadlinesMs?: Partial<Record<StackOperation, number>>
  /** From SIGINT to SIGKILL, in milliseconds. Default 15,000. */
  readonly graceMs?: number
  /** Parent of each operation's folder. Default: the system's temporary folder. */
  readonly temporaryFolder?: string
  readonly onLine?: (stack: string, operation: StackOperation, line: StackLine) => void
}

export class StackError extends Error {
  readonly kind: StackFault['kind'] | 'overran'
  readonly lock: Lock | undefined

  constructor(
    kind: StackError['kind'],
    operation: StackOperation,
    stack: string,
    message: string,
    cause?: unknown,
  ) {
    super(`${['Pulumi', operation, stack].filter(Boolean).join(' ')}: ${message}`, cause ? { cause } : {})
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
  discard: 2 * 60_000,
  has: 60_000,
  outputs: 60_000,
  cancel: 60_000,
  list: 60_000,
}

export type Result = StackLine & { readonly line: 'result' }

const processFile = fileURLToPath(new URL('./stack-process.ts', import.meta.url))
const gpuMachineProgram = new URL('../../../infra/gpu-vm.ts', import.meta.url)

/** Throws StackError, or the signal's reason when it has aborted. */
export async function runStackChild(
  options: StackChildOptions,
  request: Omit<StackRequest, 'lastResortMs' | 'project' | 'program'>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  signal?.throwIfAborted()
  const { operation, stack } = request
  const deadlineMs = options.deadlinesMs?.[operation] ?? deadlines[operation]
  const graceMs = options.graceMs ?? 15_000
  const folder = await makeTemporaryFolder('stack', options.temporaryFolder)
  let overran = false
  try {
    await makeHome(path.join(folder, 'home'), options.pulumiHome)
    await writeBackendCredentials(folder, options)
    signal?.throwIfAborted()
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
      child.stdin.write(
        `${JSON.stringify({
          ...request,
          project: options.project,
          program: (options.program ?? gpuMachineProgram).href,
          lastResortMs,
        } satisfies StackRequest)}\n`,
      )
      const last = await lastLine(child.stdout, (line) => options.onLine?.(stack, operation, line))
      const exit = await child
      if (last?.line === 'result') return last
      signal?.throwIfAborted()
      const fail = (kind: StackError['kind'], message: string, cause?: Error) =>
        new StackError(kind, operation, stack, message, cause)
      if (overran) throw fail('overran', `took longer than ${deadlineMs / 1000} s and was stopped`)
      if (last?.line === 'fault') {
        const { kind, message, system } = last.fault
        throw fail(kind, message, asError(system, options.pulumi))
      }
      const said = `ended with ${exit.signal ?? exit.exitCode}, saying: ${exit.stderr.slice(-2000)}`
      throw fail('failed', said, asError(systemErrorIn(exit.stderr), options.pulumi))
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

/** The last line that is a result or a fault; other output of the engine's libraries is skipped. */
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
 * A home for one operation, with the real one's plugins: the engine otherwise keeps, for ever, a file for each folder
 * that it ran in and a log for each command.
 */
async function makeHome(home: string, real: string): Promise<void> {
  await mkdir(path.join(real, 'plugins'), { recursive: true })
  await mkdir(home)
  await symlink(path.join(real, 'plugins'), path.join(home, 'plugins'))
}

/** A profile named in the URL takes precedence over credentials in the environment, which are the machines'. */
function backend(
  folder: string,
  { backendUrl, backendCredentials }: StackChildOptions,
): Record<string, string> {
  if (!backendCredentials) return { PULUMI_BACKEND_URL: backendUrl }
  const url = new URL(backendUrl)
  url.searchParams.set('profile', stateProfile)
  return { PULUMI_BACKEND_URL: url.href, AWS_SHARED_CREDENTIALS_FILE: path.join(folder, 'credentials') }
}

const stateProfile = 'bellows-state'

/**
 * One file holds all of AWS's profiles, and a second can't be named: so it is a copy of the worker user's file with one
 * more profile, for the duration of the operation. The rest of ~/.aws is read in place.
 */
async function writeBackendCredentials(folder: string, options: StackChildOptions): Promise<void> {
  if (!options.backendCredentials) return
  const { accessKeyId, secretAccessKey } = options.backendCredentials
  const lines = [
    await sharedCredentials(options),
    `[${stateProfile}]`,
    `aws_access_key_id = ${accessKeyId}`,
    `aws_secret_access_key = ${secretAccessKey.reveal()}`,
    '',
  ]
  await writeFile(path.join(folder, 'credentials'), lines.join('\n'), { mode: 0o600 })
}

/** The user's file as it is; nothing where there is none. */
async function sharedCredentials({ environment = {} }: StackChildOptions): Promise<string> {
  const { AWS_SHARED_CREDENTIALS_FILE: named } = environment
  const file = named ? String(named) : path.join(homedir(), '.aws', 'credentials')
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}

/** Everything that the child sees of the worker's environment: only what is named here. */
function environment(options: StackChildOptions, folder: string): Record<string, string> {
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
    ...backend(folder, options),
    PULUMI_CONFIG_PASSPHRASE: options.passphrase.reveal(),
    PULUMI_SKIP_UPDATE_CHECK: 'true',
    // No backup of every checkpoint. A removed stack still leaves one: `.bak`, its secrets encrypted.
    PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS: 'true',
    NODE_COMPILE_CACHE: path.join(options.pulumiHome, 'node-compile-cache'),
    NO_COLOR: '1',
  }
}

export type Lock = { readonly host: string; readonly pid: number; readonly at: Date }

/** As a file or bucket backend reports it: `created by root@host (pid 7) at 2026-08-01T10:00:00Z`. */
function parseLock(message: string): Lock | undefined {
  const [, host, pid, at] = /created by [^@\s]*@(\S+) \(pid (\d+)\) at (\S+)/.exec(message) ?? []
  if (!host || !pid || !at || Number.isNaN(Date.parse(at))) return undefined
  return { host, pid: Number(pid), at: new Date(at) }
}
