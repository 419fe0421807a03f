/**
 * Loops that run beside the work: each runs until its signal aborts. One that ends or fails earlier is reported
 * once and restarted, with pauses that double from 1 s to 30 s and reset after a healthy minute.
 */
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'
import { duration } from './limits.ts'

export type Beside = {
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Tells a person; never throws. */
  readonly say: (message: string) => void
}

const shortestPauseMs = 1_000
const longestPauseMs = 30_000
const healthyMs = 60_000

/** Never rejects. `what` is the subject of the sentence that is told. */
export async function keepGoing(
  { clock, signal, say }: Beside,
  what: string,
  loop: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  let pause = shortestPauseMs
  let told = false
  while (!signal.aborted) {
    const began = clock.now().getTime()
    const why = await unlessAborted(signal, () => loop(signal)).then(() => 'it ended', messageOf)
    if (signal.aborted) return
    if (!told) say(`${what} failed (${why}); it is begun again until it works`)
    told = true
    if (Math.abs(clock.now().getTime() - began) > healthyMs) pause = shortestPauseMs
    await clock.sleep(pause, signal).catch(() => {})
    pause = Math.min(2 * pause, longestPauseMs)
  }
}

/** Tries until it works, or the signal aborts; never rejects. */
export async function keepTrying(
  beside: Beside,
  what: string,
  action: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const done = new AbortController()
  await keepGoing(
    { ...beside, signal: AbortSignal.any([beside.signal, done.signal]) },
    what,
    async (signal) => {
      await action(signal)
      done.abort()
    },
  )
}

/** What `work` gives within the limit, by a signal that ends then; else Failure('step-overran'). */
export async function answerWithin<T>(
  { clock, signal }: Pick<Beside, 'clock' | 'signal'>,
  limitMs: number,
  what: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = new AbortController()
  const done = new AbortController()
  clock.sleep(limitMs, AbortSignal.any([signal, done.signal])).then(
    () => limit.abort(new Failure('step-overran', `${what} was not answered within ${duration(limitMs)}`)),
    () => {},
  )
  const either = AbortSignal.any([signal, limit.signal])
  try {
    return await unlessAborted(either, () => work(either))
  } finally {
    done.abort()
  }
}

/** Settles as `work` does, or rejects as soon as the signal aborts, even if `work` doesn't listen to it. */
export async function unlessAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  signal.throwIfAborted()
  const over = new AbortController()
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { signal: over.signal })
  })
  try {
    return await Promise.race([work(), aborted])
  } finally {
    over.abort()
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
