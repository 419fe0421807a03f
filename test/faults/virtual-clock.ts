/**
 * Time for simulations: it passes when no task has anything left to do now. Sleepers wake one at a time in the
 * order of their times, so that a run depends on nothing but its seed.
 */
import type { Clock } from '../../src/clock.ts'

export type VirtualClock = Clock & {
  /** Lets time pass until `done`, or throws when `limitMs` have passed or nothing waits. */
  runUntil(done: () => boolean, limitMs: number): Promise<void>
  /** Time stands still until this work, which is done for real, is done. */
  standStill<T>(work: Promise<T>): Promise<T>
  /** Milliseconds since the start. */
  readonly elapsed: number
}

type Sleeper = { readonly until: number; readonly order: number; readonly wake: () => void }

export function virtualClock(start = new Date('2026-11-02T08:00:00Z')): VirtualClock {
  const sleepers = new Set<Sleeper>()
  const underWay = new Set<Promise<unknown>>()
  let elapsed = 0
  let order = 0

  function next(): Sleeper | undefined {
    let first: Sleeper | undefined
    for (const each of sleepers) {
      const sooner =
        !first || each.until < first.until || (each.until === first.until && each.order < first.order)
      if (sooner) first = each
    }
    return first
  }

  return {
    now: () => new Date(start.getTime() + elapsed),
    get elapsed() {
      return elapsed
    },
    sleep(milliseconds, signal) {
      return new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason)
        const abort = () => {
          sleepers.delete(sleeper)
          reject(signal?.reason)
        }
        const wake = () => {
          signal?.removeEventListener('abort', abort)
          resolve()
        }
        const sleeper = { until: elapsed + Math.max(0, milliseconds), order: order++, wake }
        sleepers.add(sleeper)
        signal?.addEventListener('abort', abort, { once: true })
      })
    },
    standStill(work) {
      underWay.add(work)
      work.catch(() => {}).finally(() => underWay.delete(work))
      return work
    },
    async runUntil(done, limitMs) {
      const end = elapsed + limitMs
      for (;;) {
        // Streams in between take a few turns of the event loop.
        for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve))
        if (done()) return
        if (underWay.size > 0) {
          await Promise.allSettled(underWay)
          continue
        }
        const sleeper = next()
        if (!sleeper) throw new Error('nobody waits for anything, and it is not done')
        if (sleeper.until > end) throw new Error(`not done after ${limitMs / 1000} s of virtual time`)
        elapsed = Math.max(elapsed, sleeper.until)
        sleepers.delete(sleeper)
        sleeper.wake()
      }
    },
  }
}
