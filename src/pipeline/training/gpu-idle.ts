import type { Clock } from '../../clock.ts'

export type GpuIdle = {
  /** Load in percent, as it was just read. */
  reading(utilisationPercent: number): void
}

/** Readings that lie further apart say nothing of the time between them. */
const longestGapMs = 120_000

/**
 * Calls `onIdle` once when the GPU was seen idle for as long as the limit. Readings alone are judged: without a
 * first one nothing is, and after a gap the wait begins anew. A clock that jumps adds no more than a gap.
 */
export function watchIdleGpu(clock: Clock, limitMs: number, onIdle: (limitMs: number) => void): GpuIdle {
  let idleMs = 0
  let last: number | undefined
  let told = false
  return {
    reading(utilisationPercent) {
      const now = clock.now().getTime()
      const gap = last === undefined ? 0 : now - last
      last = now
      idleMs = utilisationPercent > 0 || gap < 0 || gap > longestGapMs ? 0 : idleMs + gap
      if (idleMs < limitMs || told) return
      told = true
      onIdle(limitMs)
    },
  }
}
