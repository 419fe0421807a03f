import type { Clock } from '../clock.ts'

/** Calls `action` at most once every `milliseconds`, dropping calls in between. */
export function throttle<Arguments extends unknown[]>(
  clock: Clock,
  milliseconds: number,
  action: (...values: Arguments) => void,
): (...values: Arguments) => void {
  let last = Number.NEGATIVE_INFINITY
  return (...values) => {
    const now = clock.now().getTime()
    if (Math.abs(now - last) < milliseconds) return
    last = now
    action(...values)
  }
}
