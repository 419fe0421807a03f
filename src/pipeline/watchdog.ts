import type { Clock } from '../clock.ts'

export type Watchdog = {
  /** Life was seen: the wait begins anew, with a new limit if one is given. */
  feed(limitMs?: number): void
  stop(): void
}

/** Calls `onSilence` once when nothing was fed for as long as the limit. Waits, so clock jumps don't bite. */
export function startWatchdog(clock: Clock, limitMs: number, onSilence: (limitMs: number) => void): Watchdog {
  let limit = limitMs
  let wait = new AbortController()

  function feed(newLimit = limit): void {
    limit = newLimit
    wait.abort()
    wait = new AbortController()
    clock.sleep(limit, wait.signal).then(
      () => onSilence(limit),
      () => {},
    )
  }

  feed()
  return { feed, stop: () => wait.abort() }
}
