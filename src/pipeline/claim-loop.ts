/**
 * Looks for work and runs it: first what others left unfinished, then the oldest job in the queue.
 *
 *     claiming → draining (`stop`: claims no more; steps under way may finish) → handing over → stopped
 *
 * Whoever stops hands over: the job's lease is released, its machine goes on training, and another worker
 * attaches to it.
 */
import PQueue from 'p-queue'
import type { ClaimLimits } from '../trainings/trainings.ts'
import type { JobEvent } from './events.ts'
import { HandOver } from './job.ts'
import type { Ports } from './ports.ts'
import { runJob } from './run-job.ts'
import type { PipelineSettings } from './settings.ts'

export type ClaimLoop = {
  /** Ids of the trainings that this worker runs now. */
  active(): readonly string[]
  /** Stops claiming, gives running jobs `graceMs` to end, then hands them over. */
  stop(graceMs: number): Promise<void>
  /** Settles when the loop has stopped. */
  readonly stopped: Promise<void>
}

/** Milliseconds before a job that was left with an error is taken up again; doubled each time. */
const firstRestMs = 2_000
const longestRestMs = 5 * 60_000

export function startClaimLoop(options: {
  readonly ports: Ports
  readonly settings: PipelineSettings
  readonly limits: ClaimLimits
  readonly concurrency: number
  readonly pollMs: number
  readonly onEvent: (event: JobEvent) => void
  /** The database was asked for work and has answered. */
  readonly onLook?: () => void
  /** A job that was left before its end, or a look at the database that failed (no training id). */
  readonly onError: (error: unknown, trainingId: string | undefined) => void
}): ClaimLoop {
  const { ports, settings, limits, concurrency, pollMs, onEvent, onLook, onError } = options
  const queue = new PQueue({ concurrency })
  const running = new Map<string, Promise<void>>()
  /** Jobs that were left with an error, how often, and until when this worker leaves them alone. */
  const resting = new Map<string, { readonly times: number; readonly until: number }>()
  const stopping = new AbortController()
  const handingOver = new AbortController()
  let wake = new AbortController()

  async function run(trainingId: string): Promise<void> {
    try {
      await runJob(trainingId, ports, settings, handingOver.signal, onEvent)
      resting.delete(trainingId)
    } catch (error) {
      if (!(error instanceof HandOver)) onError(error, trainingId)
      rest(trainingId)
    } finally {
      running.delete(trainingId)
      wake.abort()
    }
  }

  /** What is away needs time to come back. */
  function rest(trainingId: string): void {
    const times = (resting.get(trainingId)?.times ?? 0) + 1
    const pause = Math.min(longestRestMs, firstRestMs * 2 ** (times - 1))
    resting.set(trainingId, { times, until: ports.clock.now().getTime() + pause })
  }

  function isFree(trainingId: string): boolean {
    const { until = 0 } = resting.get(trainingId) ?? {}
    return !running.has(trainingId) && until <= ports.clock.now().getTime()
  }

  function start(trainingId: string): void {
    running.set(
      trainingId,
      queue.add(() => run(trainingId)),
    )
  }

  /** True if there may be more. */
  async function look(): Promise<boolean> {
    const free = concurrency - running.size
    if (free <= 0) {
      onLook?.()
      return false
    }
    const [unfinished, orphans] = await Promise.all([
      ports.runs.unfinished(concurrency * 2 + resting.size), // those that rest don't hide the others
      ports.trainings.orphans(concurrency * 2),
    ])
    onLook?.()
    const left = [...new Set([...unfinished, ...orphans])].filter(isFree)
    for (const id of left.slice(0, free)) start(id)
    if (left.length >= free) return false
    const training = await ports.trainings.claim(limits)
    if (training) start(training.id)
    return training !== undefined
  }

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      const more = await look().catch((error) => {
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
    stopped,
    async stop(graceMs) {
      stopping.abort()
      const grace = new AbortController()
      void ports.clock.sleep(graceMs, grace.signal).then(
        () => handingOver.abort(new HandOver(`${settings.worker} stops`)),
        () => {},
      )
      await stopped
      grace.abort()
    },
  }
}
