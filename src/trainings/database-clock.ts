/**
 * The database's time, without asking it each time: what it said last, and how long ago that was by a clock that
 * only ever counts up. A worker whose own clock is wrong, or is set while it runs, orders, ends and bills machines
 * at the same times as the others.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { Clock } from '../clock.ts'
import type { Runs } from './runs.ts'

/** Longest wait that a Node timer can do: 2^31 − 1 ms, about 24 days. */
const longestTimer = 2 ** 31 - 1

export type DatabaseClock = Clock & {
  /** Asks again: a computer that was suspended did not count. */
  synchronise(): Promise<void>
}

export async function databaseClock(runs: Pick<Runs, 'now'>): Promise<DatabaseClock> {
  let offset = await measured()

  /** What the counter's milliseconds lack. */
  async function measured(): Promise<number> {
    const time = await runs.now()
    return time.getTime() - performance.now()
  }

  return {
    now: () => new Date(offset + performance.now()),
    async synchronise() {
      offset = await measured()
    },
    async sleep(milliseconds, signal) {
      try {
        await wait(
          Math.min(Math.max(0, milliseconds), longestTimer),
          undefined,
          signal ? { signal } : undefined,
        )
      } catch (error) {
        throw signal?.aborted ? signal.reason : error
      }
    },
  }
}
