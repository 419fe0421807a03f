/**
 * What AWS's SDK inside the real provider does with a refusal: faults of AWS and throttling it asks again for, as often as
 * `aws:maxRetries` says, all else it reports at once. As recorded with Terraform's AWS provider 5.100
 * (test/fixtures/provider-refusals.json): a market without capacity is a fault with status 500.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { ApiError } from './api-error.ts'

export type Retries = {
  /** Asked so often in all. */
  readonly attempts: number
  /** Aborts when the client has gone. */
  readonly gone?: AbortSignal
}

/** The provider's own, without `aws:maxRetries`: 48 minutes. */
export const defaultAttempts = 25

/** Throttling has a longer first pause than faults; both double up to five minutes. */
const firstPausesMs = { throttled: 500, fault: 30 } as const
const longestPauseMs = 300_000

export async function withRetries<T>({ attempts, gone }: Retries, ask: () => T | Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof ApiError) || !mayPass(error)) throw error
      if (attempt >= attempts) throw attempts > 1 ? error.after(attempts) : error
      await sleep(pauseMs(error, attempt), undefined, gone && { signal: gone })
    }
  }
}

const isThrottling = ({ code }: ApiError): boolean => /^(RequestLimitExceeded|Throttling)/.test(code)

const mayPass = (error: ApiError): boolean => error.status >= 500 || isThrottling(error)

function pauseMs(error: ApiError, attempt: number): number {
  const first = isThrottling(error) ? firstPausesMs.throttled : firstPausesMs.fault
  return Math.min(longestPauseMs, (1 + Math.random()) * first * 2 ** attempt)
}
