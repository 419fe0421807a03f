/**
 * The trainer's container on a machine, found by its name alone.
 *
 *   absent ──start──▶ running ──▶ exited      Nothing removes it: the machine goes with all that it holds.
 *
 * `created` (a start that failed halfway) counts as absent and is cleared away by the next start.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { Failure } from '../failure.ts'
import * as argv from './argv.ts'
import type { Host, TrainerContainer, TrainerExit, TrainerState } from './host.ts'
import { tailOf } from './lines.ts'
import type { Session } from './session.ts'
import type { Ssh } from './ssh.ts'

type TrainerVerbs = Pick<Host, 'trainerState' | 'startTrainer' | 'followTrainer' | 'stopTrainer'>

const inspectedSchema = z.object({
  Status: z.string(),
  ExitCode: z.int(),
  OOMKilled: z.boolean().default(false),
})
type Inspected = z.infer<typeof inspectedSchema>

const commandMs = 60_000
/** Between two looks at a container while its log is read. */
const defaultPollMs = 15_000
/** Without a line for so long, the log of a container that has exited has no more. */
const quietMs = 10_000
/** The first start of an image of many gigabytes reads a cold disk. */
const startMs = 5 * 60_000

/** `pollMs`: milliseconds between two looks at a container while its log is read. */
export const trainerVerbs = (session: Session, { pollMs = defaultPollMs } = {}): TrainerVerbs => ({
  trainerState: (name, signal) =>
    session.use(async (ssh) => stateOf(await inspect(ssh, name, signal)), signal),

  startTrainer: (container, signal) => session.use((ssh) => start(ssh, container, signal), signal),

  followTrainer(name, onLine, signal) {
    let seen = 0
    const onNew = (line: string) => {
      seen++
      onLine(line)
    }
    return session.use(async (ssh) => {
      for (;;) {
        await followLog(ssh, name, seen, onNew, signal, pollMs)
        const inspected = await settled(ssh, name, signal)
        if (!inspected) throw new Failure('trainer-crashed', `the container ${name} is not there any more`)
        if (stateOf(inspected) === 'running') continue
        // Those that follow have been seen to miss the last lines of a container that ends.
        const tail = await wholeLog(ssh, name, seen, onNew, signal)
        return { exitCode: inspected.ExitCode, outOfMemory: inspected.OOMKilled, tail } satisfies TrainerExit
      }
    }, signal)
  },

  stopTrainer: (name, graceSeconds, signal) =>
    session.use(async (ssh) => {
      const limitMs = graceSeconds * 1000 + commandMs
      const stopped = await ssh.run(argv.stopTrainer(name, graceSeconds), { signal, limitMs })
      if (stopped.exitCode === 0 || stateOf(await inspect(ssh, name, signal)) !== 'running') return
      throw new Failure('machine-broken', `the trainer could not be stopped: ${stopped.stderr}`)
    }, signal),
})

const inspect = async (ssh: Ssh, name: string, signal: AbortSignal): Promise<Inspected | undefined> => {
  const result = await ssh.run(argv.inspectTrainer(name), { signal, limitMs: commandMs })
  if (result.exitCode === 0) return inspectedSchema.parse(JSON.parse(result.stdout.toString('utf8')))
  if (/no such (container|object)/i.test(result.stderr)) return undefined
  throw new Failure('machine-broken', `containers cannot be looked at: ${result.stderr}`)
}

const stateOf = (inspected: Inspected | undefined): TrainerState => {
  switch (inspected?.Status) {
    case undefined:
    case 'created':
    case 'configured':
      return 'absent'
    case 'exited':
    case 'dead':
      return 'exited'
    default:
      return 'running'
  }
}

const start = async (ssh: Ssh, container: TrainerContainer, signal: AbortSignal): Promise<void> => {
  const known = await inspect(ssh, container.name, signal)
  if (known && stateOf(known) !== 'absent') return
  if (known) await ssh.run(argv.removeContainer(container.name), { signal, limitMs: commandMs })
  if (container.gpu) await probe(ssh, container.image, signal)
  const result = await ssh.run(argv.runTrainer(container), { signal, limitMs: startMs })
  if (result.exitCode === 0) return
  // Another worker, or this one before its connection broke, was first.
  if (stateOf(await inspect(ssh, container.name, signal)) !== 'absent') return
  const reason = /no space left/i.test(result.stderr) ? 'disk-full' : 'machine-broken'
  throw new Failure(reason, 'the trainer could not be started', { evidence: result.stderr })
}

const probe = async (ssh: Ssh, image: string, signal: AbortSignal): Promise<void> => {
  const result = await ssh.run(argv.probeGpu(image), { signal, limitMs: startMs })
  if (result.exitCode === 0) return
  throw new Failure('machine-broken', 'containers cannot use the GPU of this machine', {
    evidence: `${result.stdout}\n${result.stderr}`,
  })
}

/** Until the log ends, or the container has: logs have been seen that never end. */
const followLog = async (
  ssh: Ssh,
  name: string,
  seen: number,
  onNew: (line: string) => void,
  signal: AbortSignal,
  pollMs: number,
): Promise<void> => {
  const over = new AbortController()
  const either = AbortSignal.any([signal, over.signal])
  const reading = readLog(ssh, argv.followLogs(name), seen, onNew, tails(), either)
  const ended = awaitEnd(ssh, name, pollMs, either)
  try {
    await Promise.race([reading, ended])
  } finally {
    over.abort()
    await Promise.allSettled([reading, ended])
  }
}

/** Settles when the container is not running; looks that fail prove nothing, and the log goes on. */
const awaitEnd = async (ssh: Ssh, name: string, pollMs: number, signal: AbortSignal): Promise<void> => {
  for (;;) {
    await sleep(pollMs, undefined, { signal })
    const state = await inspect(ssh, name, signal).then(stateOf, () => 'running')
    if (state === 'running') continue
    return sleep(Math.min(pollMs, quietMs), undefined, { signal }) // for what is still on its way
  }
}

/** Of a container that has exited: hands over what was not seen yet; gives its last words. */
const wholeLog = async (
  ssh: Ssh,
  name: string,
  seen: number,
  onNew: (line: string) => void,
  signal: AbortSignal,
): Promise<readonly string[]> => {
  const quiet = new AbortController()
  const timer = setTimeout(() => quiet.abort(), quietMs)
  const last = tails(() => timer.refresh())
  try {
    await readLog(ssh, argv.wholeLog(name), seen, onNew, last, AbortSignal.any([signal, quiet.signal]))
  } catch (error) {
    if (signal.aborted || !quiet.signal.aborted) throw error
  } finally {
    clearTimeout(timer)
  }
  return last.words()
}

/** The last words are those on stderr, if there are any. */
const tails = (onLine = () => {}) => {
  const stdout = tailOf(40)
  const stderr = tailOf(40)
  return {
    add(line: string, from: 'stdout' | 'stderr'): void {
      onLine()
      const tail = from === 'stdout' ? stdout : stderr
      tail.add(line)
    },
    words: (): readonly string[] => (stderr.lines.length > 0 ? stderr.lines : stdout.lines),
  }
}

/** Hands over the lines of stdout after the first `seen`. */
const readLog = async (
  ssh: Ssh,
  command: argv.Argv,
  seen: number,
  onNew: (line: string) => void,
  last: ReturnType<typeof tails>,
  signal: AbortSignal,
): Promise<void> => {
  let index = 0
  const onLine = (line: string, from: 'stdout' | 'stderr') => {
    last.add(line, from)
    if (from === 'stdout' && ++index > seen) onNew(line)
  }
  await ssh.follow(command, onLine, { signal })
}

/** A container's state trails its log's end; one that runs on after 5 s has lost its log, not its life. */
const settled = async (ssh: Ssh, name: string, signal: AbortSignal): Promise<Inspected | undefined> => {
  for (let left = 20; ; left--) {
    const inspected = await inspect(ssh, name, signal)
    if (stateOf(inspected) !== 'running' || left === 0) return inspected
    await sleep(250, undefined, { signal }).catch(() => signal.throwIfAborted())
  }
}
