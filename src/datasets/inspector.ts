/**
 * Opens strangers' files in child processes, so that none of them can stop the worker, fill its memory or
 * reach its credentials. One queue for all jobs of a worker; a child serves file after file.
 *
 * none → idle ⇄ busy
 *          │      └─ overran, too much memory, crashed, aborted → killed, and the file is refused
 *          └─ unused for a while → ended
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism, tmpdir } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import PQueue from 'p-queue'
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { bounds } from './bounds.ts'
import { type Inspection, type InspectionRequest, inspectionSchema } from './inspection.ts'

/** `stopped`: the child had to be ended; completes a sentence as `problem` does. */
export type Inspected = Exclude<Inspection, { readonly code: string }> | { readonly stopped: string }

export type Inspect = (request: InspectionRequest) => Promise<Inspected>

export type Inspector = {
  /** Runs `work` when its turn comes, with what asks a child; throws the signal's reason. */
  turn<T>(work: (inspect: Inspect) => Promise<T>, signal: AbortSignal): Promise<T>
}

export type InspectorOptions = {
  /** Children at once. Default: one a core, four at most. */
  readonly atOnce?: number
  /** Milliseconds for one file. Default: bounds.fileMs. */
  readonly fileMs?: number
  /** Milliseconds after which an unused child ends. Default 10,000. */
  readonly idleMs?: number
}

type Child = ChildProcessByStdio<Writable, Readable, null>

const processFile = fileURLToPath(new URL('./inspection-process.ts', import.meta.url))
/** Milliseconds; a start takes half a second where the computer is at rest. */
const startMs = 60_000
/** POSIX counts the size of a file in units of 512 bytes. No core is dumped. */
const limited = `ulimit -f ${bounds.writtenBytes / 512} && { ulimit -c 0 || true; } && exec "$0" "$@"`
/** An answer has some hundred bytes. */
const longestAnswer = 16_384

export function createInspector(options: InspectorOptions = {}): Inspector {
  const { atOnce = Math.min(4, availableParallelism()), fileMs = bounds.fileMs, idleMs = 10_000 } = options
  const tooLong = `took longer than ${fileMs / 1000} s to read`
  const queue = new PQueue({ concurrency: atOnce })
  const idle: { readonly child: Child; readonly timer: NodeJS.Timeout }[] = []

  return {
    turn: (work, signal) => queue.add(() => work((request) => inspect(request, signal)), { signal }),
  }

  /** A child that has seen other files may be at the end of its memory because of them: a new one looks again. */
  async function inspect(request: InspectionRequest, signal: AbortSignal): Promise<Inspected> {
    const used = takeIdle()
    const first = used && (await inspectIn(used, request, signal))
    if (first && !('stopped' in first && first.stopped !== tooLong)) return first
    return inspectIn(await start(startMs, signal), request, signal)
  }

  async function inspectIn(
    child: Child,
    request: InspectionRequest,
    signal: AbortSignal,
  ): Promise<Inspected> {
    signal.throwIfAborted()
    hold(child, true)
    const kill = () => child.kill('SIGKILL')
    let overran = false
    const limit = setTimeout(() => {
      overran = true
      kill()
    }, fileMs)
    signal.addEventListener('abort', kill, { once: true })
    try {
      child.stdin.write(`${JSON.stringify(request)}\n`)
      const answer = await nextAnswer(child)
      signal.throwIfAborted()
      if (answer && !('ready' in answer)) {
        release(child)
        return judge(answer)
      }
      kill()
      const [code, ending] = await ended(child)
      if (overran) return { stopped: tooLong }
      const full = ending === 'SIGKILL' || ending === 'SIGABRT' || code === 134
      return { stopped: full ? tooMuchMemory : 'is broken: it could not be read' }
    } finally {
      clearTimeout(limit)
      signal.removeEventListener('abort', kill)
    }
  }

  function takeIdle(): Child | undefined {
    for (let next = idle.pop(); next; next = idle.pop()) {
      clearTimeout(next.timer)
      if (next.child.exitCode === null && next.child.signalCode === null) return next.child
    }
    return undefined
  }

  function release(child: Child): void {
    hold(child, false)
    const timer = setTimeout(() => {
      idle.splice(idle.indexOf(entry), 1)
      child.kill('SIGKILL')
    }, idleMs).unref()
    const entry = { child, timer }
    idle.push(entry)
  }
}

const tooMuchMemory = `needs more than ${bounds.childBytes / 1024 / 1024} MB of memory to be read`

/** Nothing of the worker's environment is handed down. That a child can't start is no file's fault. */
async function start(withinMs: number, signal: AbortSignal): Promise<Child> {
  const argv = [process.execPath, '--max-old-space-size=256', processFile]
  const child = spawn('/bin/sh', ['-c', limited, ...argv], {
    cwd: '/',
    env: { TMPDIR: tmpdir() },
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  let cause: unknown
  child.on('error', (error) => {
    cause = error
  })
  child.stdin.on('error', () => {}) // a child that dies at once is reported by its exit
  const kill = () => child.kill('SIGKILL')
  const limit = setTimeout(kill, withinMs)
  signal.addEventListener('abort', kill, { once: true })
  try {
    const answer = await nextAnswer(child)
    signal.throwIfAborted()
    if (answer && 'ready' in answer) return child
    kill()
    throw new Failure('internal', 'no process could be started to look at images', { cause })
  } finally {
    clearTimeout(limit)
    signal.removeEventListener('abort', kill)
  }
}

/** A child that is not at work keeps no process from ending. */
function hold(child: Child, held: boolean): void {
  const handles = [child, child.stdin, child.stdout] as unknown as readonly { ref(): void; unref(): void }[]
  for (const handle of handles) held ? handle.ref() : handle.unref()
}

type Answer = z.infer<typeof answerSchema>

const answerSchema = z.union([z.object({ ready: z.literal(true) }), inspectionSchema])

/** Undefined where the child ends, or says what makes no sense. */
async function nextAnswer(child: Child): Promise<Answer | undefined> {
  let text = ''
  const answered = Promise.withResolvers<string | undefined>()
  const onData = (chunk: Buffer) => {
    text += chunk.toString()
    if (text.endsWith('\n') || text.length > longestAnswer) answered.resolve(text)
  }
  const onEnd = () => answered.resolve(undefined)
  child.stdout.on('data', onData)
  child.once('exit', onEnd)
  child.once('error', onEnd)
  try {
    return parse(await answered.promise)
  } finally {
    child.stdout.off('data', onData)
    child.off('exit', onEnd)
    child.off('error', onEnd)
  }
}

function parse(text: string | undefined): Answer | undefined {
  try {
    return text === undefined || text.length > longestAnswer
      ? undefined
      : answerSchema.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}

function judge(answer: Inspection): Inspected {
  if (!('code' in answer)) return answer
  const { code, syscall, message } = answer
  if (code === 'EFBIG') return { problem: 'is too large when it is written anew' }
  const cause = Object.assign(new Error(message), { code, syscall })
  const reason = code === 'ENOSPC' || code === 'EDQUOT' ? 'disk-full' : 'internal'
  throw new Failure(reason, `an image could not be read or written on the worker (${code})`, { cause })
}

async function ended(child: Child): Promise<readonly [number | null, NodeJS.Signals | null]> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  return [child.exitCode, child.signalCode]
}
