/** Every wait has a limit, and an overrun names its phase. */
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'

/** Milliseconds that each phase may take. */
export type Limits = {
  /** Inspecting and packing the dataset. */
  readonly preparing: number
  /** From the order to an instance that has an address. */
  readonly ordering: number
  /** From the address to a finished first boot. */
  readonly boot: number
  readonly pull: number
  readonly staging: number
  /** From the container's start to its first step: loading weights, caching latents. */
  readonly firstStep: number
  /** Between two steps, or other signs of life, of a training that has begun. */
  readonly stall: number
  /** For a trainer told to stop: saving a checkpoint. */
  readonly stopping: number
  readonly shipping: number
  readonly registering: number
  readonly teardown: number
}

export type LimitedPhase = keyof Limits

/**
 * Runs `work` and aborts its signal when the limit is over. Settles at once then, even if `work` does
 * not listen.
 */
export async function within<T>(
  phase: LimitedPhase,
  limitMs: number,
  clock: Clock,
  outer: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  outer.throwIfAborted()
  const inner = new AbortController()
  const signal = AbortSignal.any([outer, inner.signal])
  const timer = new AbortController()
  const overrun = clock.sleep(limitMs, timer.signal).then(
    () => {
      const failure = new Failure('step-overran', `${phase} took longer than ${duration(limitMs)}`)
      inner.abort(failure)
      throw failure
    },
    () => new Promise<never>(() => {}),
  )
  const aborted = new Promise<never>((_, reject) => {
    outer.addEventListener('abort', () => reject(outer.reason), { signal: timer.signal })
  })
  try {
    return await Promise.race([work(signal), overrun, aborted])
  } finally {
    timer.abort()
  }
}

/** `90 s`, `12 min`, `3 h`: as people say it. */
export function duration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000)
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`
}
