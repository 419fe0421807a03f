import type { Clock } from '../../src/clock.ts'

/** A clock that stands still until it is told to go on; sleepers wake in the order of their times. */
export type ManualClock = Clock & {
  advance(milliseconds: number): Promise<void>
  /** Moves the wall clock only, as an administrator would: no wait gets shorter. */
  jump(milliseconds: number): void
  readonly sleepers: number
}

export function manualClock(start = new Date('2026-11-23T12:00:00Z')): ManualClock {
  let elapsed = 0
  let jumped = 0
  const sleepers = new Set<{ until: number; wake: () => void }>()

  async function settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve()
    await new Promise((resolve) => setImmediate(resolve))
  }

  return {
    now: () => new Date(start.getTime() + elapsed + jumped),
    get sleepers() {
      return sleepers.size
    },
    jump(milliseconds) {
      jumped += milliseconds
    },
    sleep(milliseconds, signal) {
      return new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason)
        const sleeper = { until: elapsed + milliseconds, wake: resolve }
        sleepers.add(sleeper)
        signal?.addEventListener('abort', () => {
          sleepers.delete(sleeper)
          reject(signal.reason)
        })
      })
    },
    async advance(milliseconds) {
      const end = elapsed + milliseconds
      for (;;) {
        await settle()
        const next = [...sleepers].sort((one, other) => one.until - other.until)[0]
        if (!next || next.until > end) break
        elapsed = Math.max(elapsed, next.until)
        sleepers.delete(next)
        next.wake()
      }
      elapsed = end
      await settle()
    },
  }
}
