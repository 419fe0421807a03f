/**
 * Claims work and runs it: what other workers left unfinished, and the oldest job in the queue.
 *
 *     claiming → draining (`stop`: claims no more; steps under way may finish) → handing over → stopped
 *        ↕
 *      unfit (several faults of this worker in a row: it takes nothing until a probe passes)
 *
 * A worker that stops hands over: the job's lease is released, its machine keeps training, and another worker
 * attaches to it.
 *
 * Whatever a document or a run holds, looking at it must not keep the others waiting: a job that was left with an error,
 * or for which nothing could be done, rests for a time that doubles, and one slot is always left for claiming (a worker
 * with a single slot takes turns).
 */
import PQueue from 'p-queue'
import type { ClaimLimits } from '../trainings/trainings.ts'
import type { JobEvent } from './events.ts'
import { WorkerAtFault, WorkerDraining } from './job.ts'
import type { Ports } from './ports.ts'
import { restingPlace } from './resting.ts'
import { runJob, type Start } from './run-job.ts'
import type { PipelineSettings } from './settings.ts'
import { workerFitness } from './worker-fitness.ts'

export type ClaimLoop = {
  /** Ids of the trainings that this worker runs now. */
  active(): readonly string[]
  /** What is broken about this worker, in sentences; it takes no work while there is anything. */
  unfit(): readonly string[]
  /** Stops claiming, gives running jobs `graceMs` to end, then hands them over. */
  stop(graceMs: number): Promise<void>
  /** Settles when the loop has stopped. */
  readonly stopped: Promise<void>
}

export type ClaimLoopOptions = {
  readonly ports: Ports
  readonly settings: PipelineSettings
  readonly limits: ClaimLimits
  readonly concurrency: number
  readonly pollMs: number
  readonly onEvent: (event: JobEvent) => void
  /** The database was asked for work and has answered. */
  readonly onPoll?: () => void
  /** A job was looked at, and nothing could be done for it. */
  readonly onFruitless?: (trainingId: string) => void
  /** A job that was left before its end, or a look at the database that failed (no training id). */
  readonly onError: (error: unknown, trainingId: string | undefined) => void
  /** What is broken about this worker, in sentences; nothing if it is well. Asked after several faults in a row. */
  readonly probe?: () => Promise<readonly string[]>
  /** It became unfit (with what is broken) or fit again (with nothing). */
  readonly onFitness?: (problems: readonly string[]) => void
}

export function startClaimLoop(options: ClaimLoopOptions): ClaimLoop {
  const { ports, settings, limits, concurrency, pollMs, onEvent, onPoll, onFruitless, onError } = options
  const queue = new PQueue({ concurrency })
  const running = new Map<string, Start>()
  const resting = restingPlace(ports.clock)
  const stopping = new AbortController()
  const draining = new AbortController()
  const fitness = workerFitness(ports.clock, stopping.signal, options)
  let wake = new AbortController()
  let lastStarted: Start = 'claimed'

  async function run(trainingId: string, how: Start): Promise<void> {
    let fruitful = false
    try {
      fruitful = await runJob(trainingId, how, ports, settings, draining.signal, onEvent)
      if (fruitful) resting.forget(trainingId)
      else onFruitless?.(trainingId)
      if (fruitful) fitness.isWell()
    } catch (error) {
      if (error instanceof WorkerAtFault) fitness.isAtFault(error.message)
      if (!(error instanceof WorkerDraining)) onError(error, trainingId)
    } finally {
      if (!fruitful) resting.rest(trainingId)
      running.delete(trainingId)
      if (fruitful) wake.abort()
    }
  }

  function start(trainingId: string, how: Start): void {
    running.set(trainingId, how)
    lastStarted = how
    void queue.add(() => run(trainingId, how))
  }

  /** Jobs that some worker has begun and none works on, less those that rest. */
  async function leftOver(heldIds: readonly string[]): Promise<readonly string[]> {
    const { runs, trainings } = ports
    const [unfinished, orphans, statuses] = await Promise.all([
      runs.unfinished(concurrency * 2 + resting.size), // those that rest don't hide the others
      trainings.orphans(concurrency * 2 + resting.size),
      trainings.statuses([...heldIds]),
    ])
    // One that waits is in the queue; where its document says otherwise, it was ended or deleted.
    const ended = heldIds.filter((id) => statuses.get(id) !== 'QUEUED')
    const left = [...new Set([...ended, ...unfinished, ...orphans])]
    return left.filter((id) => !running.has(id) && !resting.has(id))
  }

  /** How many more jobs may be taken up. */
  function roomToTakeUp(): number {
    if (concurrency === 1) return lastStarted === 'claimed' ? 1 - running.size : 0
    const takenUp = [...running.values()].filter((how) => how === 'taken up').length
    return Math.min(concurrency - running.size, concurrency - 1 - takenUp)
  }

  /** True if there may be more. */
  async function poll(): Promise<boolean> {
    if (running.size >= concurrency) {
      onPoll?.()
      return false
    }
    const held = await ports.runs.held()
    const left = await leftOver(held.map(({ id }) => id))
    onPoll?.()
    for (const id of left.slice(0, roomToTakeUp())) start(id, 'taken up')
    if (running.size >= concurrency) return false
    const now = ports.clock.now()
    const waiting = held.filter(({ until }) => until > now).map(({ id }) => id)
    const training = await ports.trainings.claim(limits, [...waiting, ...running.keys(), ...resting.ids()])
    if (training && !running.has(training.id)) start(training.id, 'claimed')
    else if (concurrency === 1) lastStarted = 'claimed'
    return training !== undefined
  }

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      await fitness.untilFit()
      if (stopping.signal.aborted) break
      const more = await poll().catch((error) => {
        onError(error, undefined)
        return false
      })
      if (more || stopping.signal.aborted) continue
      wake = new AbortController()
      const jitter = 0.8 + 0.4 * Math.random()
      await ports.clock
        .sleep(pollMs * jitter, AbortSignal.any([wake.signal, stopping.signal]))
        .catch(() => {})
    }
    await queue.onIdle()
  }

  const stopped = loop()
  return {
    active: () => [...running.keys()],
    unfit: fitness.problems,
    stopped,
    async stop(graceMs) {
      stopping.abort()
      const grace = new AbortController()
      void ports.clock.sleep(graceMs, grace.signal).then(
        () => draining.abort(new WorkerDraining(`${settings.worker} stops`)),
        () => {},
      )
      await stopped
      grace.abort()
    },
  }
}
