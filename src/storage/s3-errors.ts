/** What went wrong between us and an S3 server: classified here, once. */
import { Failure } from '../failure.ts'
import { isConnectionError, isTransientStatus } from '../retry.ts'

/** The HTTP status of the answer, where there was one. */
export function statusOf(error: unknown): number | undefined {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth++) {
    const status = (cause as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode
    if (status) return status
  }
  return undefined
}

export function isTransient(error: unknown): boolean {
  const status = statusOf(error)
  // A 2xx that still failed is an answer that was cut off or could not be read.
  return status === undefined ? isConnectionError(error) : status < 300 || isTransientStatus(status)
}

export function classify(error: unknown, doing: string): Error {
  if (error instanceof Failure) return error
  const status = statusOf(error)
  const why = error instanceof Error ? error.message || error.name : String(error)
  const detail = status === 404 ? 'it is not there' : `${why}${status ? ` (HTTP ${status})` : ''}`
  return new Failure('store-failed', `the store failed at ${doing}: ${detail}`, { cause: error })
}
