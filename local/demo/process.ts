/** A program of this project as a process of its own, in a group of its own: Ctrl-C is ours to pass on. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Readable } from 'node:stream'

export type RunningProcess = {
  readonly pid: number
  readonly stdout: Readable
  readonly stderr: Readable
  /** Rejects when it ends without having been told to. */
  readonly failed: Promise<never>
  stop(): Promise<void>
  /** `kill -9`. */
  kill(): Promise<void>
}

const root = join(import.meta.dirname, '../..')
const stopLimitMs = 40_000

export function startProcess(
  argv: readonly string[],
  environment: Readonly<Record<string, string>>,
): RunningProcess {
  const child: ChildProcessByStdio<null, Readable, Readable> = spawn(process.execPath, argv, {
    cwd: root,
    env: { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let complaints = ''
  child.stderr.on('data', (chunk: Buffer) => {
    complaints = (complaints + chunk).slice(-4000)
  })
  let stopping = false
  const exited = once(child, 'exit')
  const failed = exited.then(([code]) => {
    if (stopping) return new Promise<never>(() => {})
    throw new Error(`${argv[0]} ended with ${code}. ${complaints.trim()}`)
  })
  failed.catch(() => {})

  async function end(signal: NodeJS.Signals): Promise<void> {
    stopping = true
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill(signal)
    const timer = setTimeout(() => child.kill('SIGKILL'), stopLimitMs)
    await exited
    clearTimeout(timer)
  }
  return {
    pid: child.pid ?? 0,
    stdout: child.stdout,
    stderr: child.stderr,
    failed,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
  }
}
