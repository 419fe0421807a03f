/** The ways to end a training early: at once, or in time before its machine's deadline. */
import { Failure } from '../../failure.ts'
import type { Host } from '../../remote/host.ts'
import type { Attempt } from '../../trainings/runs.ts'
import { type Beside, keepTrying, unlessAborted } from '../beside.ts'
import type { Job } from '../job.ts'

export type Stopper = {
  /** Asks the container to save and leave; one that doesn't is left behind with its machine. The first reason counts. */
  stop(failure: Failure): void
  /** Leaves it at once: there is nothing left to ask. */
  leave(failure: Failure): void
  /** Why it was stopped or left, if it was. */
  readonly failure: Failure | undefined
}

/** `leave` ends the following; it is called with the failure. */
export function stopperOf(
  job: Job,
  host: Host,
  name: string,
  beside: Beside,
  onLeave: (failure: Failure) => void,
): Stopper {
  const { clock, signal } = beside
  const { stopping } = job.settings.limits
  let first: Failure | undefined

  async function askToLeave(failure: Failure): Promise<void> {
    const asked = keepTrying(beside, 'asking the trainer to stop', (inner) =>
      unlessAborted(inner, () => host.stopTrainer(name, stopping / 1000, inner)),
    )
    await Promise.race([asked, clock.sleep(stopping, signal)])
    await clock.sleep(stopping, signal) // for what follows its log to see the end
    onLeave(failure)
  }

  return {
    get failure() {
      return first
    },
    stop(failure) {
      if (first) return
      first = failure
      job.emit('activity', `stopping the trainer: ${failure.message}`)
      askToLeave(failure).catch(() => onLeave(failure)) // it was left meanwhile
    },
    leave(failure) {
      first ??= failure
      onLeave(failure)
    },
  }
}

/** Makes use of what was trained by then: the trainer is asked to finish, and stopped if it doesn't. Never rejects. */
export async function finishBeforeDeadline(
  job: Job,
  host: Host,
  attempt: Attempt,
  beside: Beside,
  lastStep: () => number,
  stop: Stopper['stop'],
): Promise<void> {
  const { clock, signal } = beside
  const { stopping } = job.settings.limits
  const finish = async (inner: AbortSignal) => {
    await job.change({ finishedEarly: true })
    await unlessAborted(inner, () => host.writeFile('finish', '', inner))
    await job.record('activity', `the paid time ends: asked the trainer to finish after step ${lastStep()}`)
  }
  try {
    await clock.sleep(timeToTrain(job, attempt), signal)
    if (Math.max(lastStep(), job.run.lastStep ?? 0) > 0) {
      const asked = keepTrying(beside, 'asking the trainer to finish', finish)
      await Promise.race([asked, clock.sleep(stopping, signal)])
      await clock.sleep(stopping, signal)
    }
  } catch {
    return // it has ended before
  }
  stop(new Failure('over-budget', 'the machine reached the end of the time that is paid for'))
}

/**
 * Milliseconds until the trainer must finish. The machine switches itself off at its deadline; before it there is time
 * to finish, to stop where that fails, and to ship.
 */
function timeToTrain(job: Job, { number }: Attempt): number {
  const attempt = job.run.attempts.find((each) => each.number === number) as Attempt
  const { deadline, orderedAt, launchedAt = orderedAt } = attempt // as they are now that the machine is known
  const { stopping, shipping } = job.settings.limits
  const lead = Math.min(2 * stopping + shipping, (deadline.getTime() - launchedAt.getTime()) / 4)
  return deadline.getTime() - lead - job.ports.clock.now().getTime()
}
