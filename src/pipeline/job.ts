/**
 * A job: one training while this worker holds its lease.
 *
 *     claimed → charged → provisioned → staged → trained → shipped → registered → credited → torn down
 *
 * A phase is written when its step is done, never before; it only moves forward. A job that is taken up
 * again runs the same function from the start, and each step finds by evidence what is done already. The
 * outcome is decided once, under the lease, and everything that follows from it may be repeated.
 */
import type { Attempt, AttemptChange, Lease, Phase, Run, RunChange } from '../trainings/runs.ts'
import { phases } from '../trainings/runs.ts'
import type { NewTimelineEvent } from '../trainings/timeline.ts'
import type { Training } from '../trainings/trainings.ts'
import { type EventData, eventOf, type JobEvent, type JobEventKind, type Telling } from './events.ts'
import type { LimitedPhase } from './limits.ts'
import { within } from './limits.ts'
import type { Ports } from './ports.ts'
import type { PipelineSettings } from './settings.ts'

export type Job = {
  readonly training: Training
  readonly ports: Ports
  readonly settings: PipelineSettings
  /** Aborts with the reason: Cancelled, WorkerDraining or LeaseLost. */
  readonly signal: AbortSignal
  /** The run as last written. */
  readonly run: Run
  /** What is being done, as reports of failures name it. */
  readonly step: string
  begin(step: string): void
  hasReached(phase: Phase): boolean
  /** Records that a phase is done. */
  reach(phase: Phase, message: string): Promise<void>
  change(change: RunChange): Promise<void>
  /**
   * Both emit the event, and record it in the timeline in the same write if it is history: a crash leaves both or
   * neither.
   */
  addAttempt(attempt: Attempt, telling?: Telling, isHistory?: boolean): Promise<void>
  changeAttempt(number: number, change: AttemptChange, telling?: Telling, isHistory?: boolean): Promise<void>
  forgetAttempts(numbers: readonly number[]): Promise<void>
  /** Records it in the timeline and emits it to listeners. */
  record(kind: JobEventKind, message: string, data?: EventData): Promise<void>
  /** Emits it to current listeners only: for what comes many times a minute. */
  emit(kind: JobEventKind, message: string, data?: EventData): void
  /** Runs one phase's work under its limit. */
  within<T>(phase: LimitedPhase, work: (signal: AbortSignal) => Promise<T>): Promise<T>
}

/** The job is no longer wanted: its document was cancelled, ended or deleted. */
export class Cancelled extends Error {
  override readonly name = 'Cancelled'
}

/** This worker is broken (its disk, its programs): no job is to blame, and it should take no other. */
export class WorkerAtFault extends Error {
  override readonly name = 'WorkerAtFault'
}

/** This worker stops; another goes on. */
export class WorkerDraining extends Error {
  override readonly name = 'WorkerDraining'
}

export function openJob(options: {
  readonly training: Training
  readonly lease: Lease
  readonly run: Run
  readonly ports: Ports
  readonly settings: PipelineSettings
  readonly signal: AbortSignal
  readonly onEvent: (event: JobEvent) => void
}): Job {
  const { training, lease, ports, settings, signal, onEvent } = options
  let run = options.run
  let step = 'claiming'
  let lastWrite: Promise<unknown> = Promise.resolve()
  /** False after a write that failed: it may have been applied. */
  let writeConfirmed = true
  let published: number | undefined

  /** One write after the other: `run` is never replaced by an older answer, and no event by the next. */
  function write(change: () => Promise<Run>): Promise<void> {
    const written = lastWrite.then(async () => {
      if (!writeConfirmed) run = (await ports.runs.read(lease.trainingId)) ?? run
      await publish()
      writeConfirmed = false
      run = await change()
      writeConfirmed = true
      await publish()
    })
    lastWrite = written.catch(() => {})
    return written
  }

  /** Copies the run's last event to the timeline, also one that a worker who died has left behind. */
  async function publish(): Promise<void> {
    if (!run.lastEvent || run.lastEvent.number === published) return
    await ports.timeline.append(run.lastEvent)
    published = run.lastEvent.number
  }

  function emit(kind: JobEventKind, message: string, data?: EventData): void {
    const at = ports.clock.now()
    onEvent({ trainingId: training.id, at, kind, message, phase: run.phase, ...(data && { data }) })
  }

  /** Shown in any case; what the timeline is to be told with the change that it tells of. */
  function eventFor(telling: Telling | undefined, isHistory: boolean): NewTimelineEvent | undefined {
    if (telling) emit(...telling)
    return telling && isHistory ? eventOf(lease, telling) : undefined
  }

  const hasReached = (phase: Phase) => phases.indexOf(run.phase) >= phases.indexOf(phase)

  return {
    training,
    ports,
    settings,
    signal,
    get run() {
      return run
    },
    get step() {
      return step
    },
    begin(next) {
      step = next
    },
    hasReached,
    async reach(phase, message) {
      if (hasReached(phase)) return
      const event = eventOf(lease, ['phase', message, { phase }])
      await write(() => ports.runs.change(lease, { phase, event }))
      emit('phase', message, { phase })
    },
    change: (change) => write(() => ports.runs.change(lease, change)),
    async addAttempt(attempt, telling, isHistory = true) {
      const event = eventFor(telling, isHistory)
      await write(() => ports.runs.addAttempt(lease, attempt, event))
    },
    async changeAttempt(number, change, telling, isHistory = true) {
      const event = eventFor(telling, isHistory)
      await write(() => ports.runs.changeAttempt(lease, number, change, event))
    },
    forgetAttempts: (numbers) => write(() => ports.runs.forgetAttempts(lease, numbers)),
    async record(...telling) {
      emit(...telling)
      await write(() => ports.runs.change(lease, { event: eventOf(lease, telling) }))
    },
    emit,
    async within(phase, work) {
      const outer = step
      step = phase
      const result = await within(phase, settings.limits[phase], ports.clock, signal, work)
      step = outer // after an error it stays at what went wrong
      return result
    },
  }
}
