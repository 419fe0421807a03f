/**
 * Whether this worker is fit to work. One fault of its own may be chance; several in a row mean that it would fail every
 * job that it takes, so it takes none, and probes itself with growing pauses until it is well.
 */
import type { Clock } from '../clock.ts'

const mostFaults = 3
const firstPauseMs = 5_000
const longestPauseMs = 5 * 60_000

export type WorkerFitness = {
  isAtFault(problem: string): void
  /** A job went well here. */
  isWell(): void
  problems(): readonly string[]
  /** Settles when it is fit, or the signal has aborted. */
  untilFit(): Promise<void>
}

export function workerFitness(
  clock: Clock,
  signal: AbortSignal,
  options: {
    readonly probe?: () => Promise<readonly string[]>
    readonly onFitness?: (problems: readonly string[]) => void
  },
): WorkerFitness {
  const { probe = async () => [], onFitness } = options
  let inARow = 0
  let problems: readonly string[] = []

  function become(next: readonly string[]): void {
    const changed = next.join() !== problems.join()
    problems = next
    if (changed) onFitness?.(next)
  }

  return {
    isAtFault(problem) {
      inARow++
      if (inARow >= mostFaults) become([problem])
    },
    isWell() {
      inARow = 0
    },
    problems: () => problems,
    async untilFit() {
      for (let pause = firstPauseMs; problems.length > 0; pause = Math.min(pause * 2, longestPauseMs)) {
        await clock.sleep(pause, signal).catch(() => {})
        if (signal.aborted) return
        become(await probe().catch((error: Error) => [error.message]))
      }
      inARow = Math.min(inARow, mostFaults - 1) // well by the probe: one more fault, and it is probed again
    },
  }
}
