/**
 * A machine in memory, for simulated workflows: its files, its trainer, and what befalls it. It outlives
 * every host that is connected to it, as a real one does, so that another worker finds the training where
 * the last one left it. Nothing happens by a clock: the trainer does one thing a `turn`.
 *
 *   absent ──start──▶ running ──exit, stop, out of memory──▶ exited
 *   alive ──lose──▶ lost                                     Every verb fails from then on.
 *   alive ──freeze──▶ frozen                                 Every verb waits until its caller gives up.
 */
import { Failure } from '../../src/failure.ts'
import type {
  Host,
  MachineEvent,
  TrainerContainer,
  TrainerExit,
  TrainerState,
} from '../../src/remote/host.ts'

/** Counts machines, so that each has another image behind the same tag: tags move. */
let machines = 0

/** What a scripted trainer does next. One that hangs does nothing more until it is killed. */
export type TrainerAct =
  | { readonly line: string }
  | { readonly stderr: string }
  | { readonly write: string; readonly content: string | Buffer }
  | { readonly exit: number; readonly outOfMemory?: boolean }
  | 'hang'

/** What it sees: paths are below /job, such as `plan.json`. */
type TrainerView = {
  readonly files: ReadonlyMap<string, Buffer>
  readonly container: TrainerContainer
  /** SIGTERM has come. */
  readonly stopping: () => boolean
}

export type TrainerScript = (view: TrainerView) => Iterator<TrainerAct>

type Trainer = {
  readonly acts: Iterator<TrainerAct>
  readonly lines: string[]
  readonly stderr: string[]
  readonly container: TrainerContainer
  stopping: boolean
  hangs: boolean
  exit: Pick<TrainerExit, 'exitCode' | 'outOfMemory'> | undefined
}

export type SimulatedMachine = {
  readonly files: Map<string, Buffer>
  readonly trainers: ReadonlyMap<string, Trainer>
  /** How often each verb was called. */
  readonly calls: ReadonlyMap<string, number>
  readonly deadline: Date | undefined
  /** Gone without notice: whatever waits or comes later fails with Failure('machine-lost'). */
  lose(): void
  /** Gone without closing its connections: it only falls silent. */
  freeze(): void
  /** Ends what watches, as a dropped connection does; followers reconnect by themselves. */
  dropConnections(): void
  /** Watchers hear of it, also those that come later. */
  notice(notice: MachineEvent): void
  /** The next call of that verb fails with `error`. */
  failNext(verb: keyof Host | 'connect', error: Error): void
  /** What watchers hear of the GPU, in percent; `unreadable` as where its driver hangs. 97 while one is in use. */
  gpuLoad: number | 'unreadable'
  /** Followers hear every line, but never that the container has exited. */
  logsNeverEnd: boolean
  /** What the kernel does when memory is over. */
  killForMemory(name: string): void
}

/** What hosts need beyond that; tests leave it alone. */
export type MachineInside = SimulatedMachine & {
  readonly notices: readonly MachineEvent[]
  readonly connection: number
  readonly frozen: boolean
  enter(verb: keyof Host | 'connect', signal: AbortSignal | undefined): void
  /** What comes every few seconds. */
  readings(): readonly MachineEvent[]
  digestOf(image: string): string
  /** Settles when it answers: at once, or never. */
  answer(signal: AbortSignal): Promise<void>
  state(name: string): TrainerState
  start(container: TrainerContainer): void
  stop(name: string): void
  /** One act of the trainer, if it runs. */
  act(name: string): void
  setDeadline(at: Date): void
}

export const simulatedMachine = (script: TrainerScript): SimulatedMachine => {
  const files = new Map<string, Buffer>()
  const trainers = new Map<string, Trainer>()
  const calls = new Map<string, number>()
  const notices: MachineEvent[] = []
  const failures = new Map<string, Error[]>()
  let lost = false
  let frozen = false
  let connection = 0
  let deadline: Date | undefined
  const number = ++machines

  const check = (signal: AbortSignal): void => {
    signal.throwIfAborted()
    if (lost) throw new Failure('machine-lost', 'the machine does not answer any more')
  }
  const answer = async (signal: AbortSignal): Promise<void> => {
    check(signal)
    if (frozen)
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  }
  const act = (name: string): void => {
    const trainer = trainers.get(name)
    if (!trainer || trainer.exit || trainer.hangs) return
    const next = trainer.acts.next()
    if (next.done) trainer.exit = { exitCode: 0, outOfMemory: false }
    else if (next.value === 'hang') trainer.hangs = true
    else if ('line' in next.value) trainer.lines.push(next.value.line)
    else if ('stderr' in next.value) trainer.stderr.push(next.value.stderr)
    else if ('write' in next.value) files.set(next.value.write, Buffer.from(next.value.content))
    else trainer.exit = { exitCode: next.value.exit, outOfMemory: next.value.outOfMemory ?? false }
  }
  const state = (name: string): TrainerState => {
    const trainer = trainers.get(name)
    return trainer ? (trainer.exit ? 'exited' : 'running') : 'absent'
  }

  const machine: MachineInside = {
    files,
    trainers,
    calls,
    notices,
    gpuLoad: 97,
    logsNeverEnd: false,
    get deadline() {
      return deadline
    },
    get frozen() {
      return frozen
    },
    get connection() {
      return connection
    },
    lose() {
      lost = true
    },
    freeze() {
      frozen = true
    },
    dropConnections() {
      connection++
    },
    notice(notice) {
      notices.push(notice)
    },
    failNext(verb, error) {
      failures.set(verb, [...(failures.get(verb) ?? []), error])
    },
    killForMemory(name) {
      const trainer = trainers.get(name)
      if (trainer) trainer.exit ??= { exitCode: 137, outOfMemory: true }
    },
    enter(verb, signal) {
      calls.set(verb, (calls.get(verb) ?? 0) + 1)
      if (signal) check(signal)
      const failure = failures.get(verb)?.shift()
      if (failure) throw failure
    },
    readings() {
      const disk: MachineEvent = { kind: 'disk', freeBytes: 1e11 }
      if (![...trainers.values()].some(({ container }) => container.gpu)) return [disk]
      if (machine.gpuLoad === 'unreadable')
        return [disk, { kind: 'unreadable', source: 'gpu', detail: 'TimeoutExpired' }]
      const utilisationPercent = machine.gpuLoad
      return [disk, { kind: 'gpu', utilisationPercent, memoryUsedMb: 20_000 }]
    },
    digestOf: (image) =>
      /sha256:[0-9a-f]{64}$/.exec(image)?.[0] ?? `sha256:${number.toString(16).padStart(64, '0')}`,
    answer,
    state,
    start(container) {
      if (trainers.has(container.name)) return
      const trainer: Trainer = {
        acts: script({ files, container, stopping: () => trainer.stopping }),
        lines: [],
        stderr: [],
        container,
        stopping: false,
        hangs: false,
        exit: undefined,
      }
      trainers.set(container.name, trainer)
    },
    stop(name) {
      const trainer = trainers.get(name)
      if (!trainer) return
      trainer.stopping = true
      // Its grace: as much as a checkpoint needs; one that does more than that doesn't stop.
      for (let left = 100; left > 0 && !trainer.exit && !trainer.hangs; left--) act(name)
      trainer.exit ??= { exitCode: 137, outOfMemory: false }
    },
    act,
    setDeadline(at) {
      deadline = at
    },
  }
  return machine
}
