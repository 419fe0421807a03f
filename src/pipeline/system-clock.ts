import { setTimeout as wait } from 'node:timers/promises'
import type { Clock } from './ports.ts'

/** Longest wait that a Node timer can do: 2^31 − 1 ms, about 24 days. */
const longestTimer = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => new Date(),
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
