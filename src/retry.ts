/**
 * The one retry policy for requests to services: exponential back-off with full jitter, so that many
 * callers that failed together don't come back together
 * (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
 */
import { setTimeout as sleep } from 'node:timers/promises'

export type RetryPolicy = {
  /** Tries in all, the first one included. Default 5: about 6 s of waiting at most. */
  readonly attempts?: number
  /** Longest wait before the second try, in milliseconds; it doubles with each. Default 200. */
  readonly firstDelayMs?: number
  /** Longest wait before any try, in milliseconds. Default 5,000. */
  readonly maxDelayMs?: number
  readonly signal?: AbortSignal | undefined
}

/** Runs `work` until it succeeds, fails with an error that isn't `transient`, or the tries are used up. */
export async function retry<T>(
  work: (attempt: number) => Promise<T>,
  transient: (error: unknown) => boolean,
  policy: RetryPolicy = {},
): Promise<T> {
  const { attempts = 5, firstDelayMs = 200, maxDelayMs = 5_000, signal } = policy
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted()
    try {
      return await work(attempt)
    } catch (error) {
      if (attempt >= attempts || !transient(error)) throw error
      const longest = Math.min(maxDelayMs, firstDelayMs * 2 ** (attempt - 1))
      await sleep(Math.random() * longest, undefined, signal ? { signal } : undefined)
    }
  }
}

/** Statuses that a second try may change: timeouts, conflicts of concurrent requests, overload, faults. */
export function isTransientStatus(status: number): boolean {
  return status === 408 || status === 409 || status === 425 || status === 429 || status >= 500
}

/** Connections that broke, were refused or timed out, as Node and undici report them. */
export function isConnectionError(error: unknown): boolean {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth++) {
    const code = (cause as NodeJS.ErrnoException).code ?? ''
    if (
      /^(ECONN|ETIMEDOUT|EPIPE|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|ERR_STREAM_PREMATURE_CLOSE|UND_ERR_)/.test(
        code,
      )
    )
      return true
    if (cause.name === 'TimeoutError' || /socket hang up|other side closed|aborted/.test(cause.message))
      return true
  }
  return false
}
