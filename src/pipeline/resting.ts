import type { Clock } from '../clock.ts'

/** Milliseconds that a job is left alone after it was looked at in vain; doubled each time. */
const firstRestMs = 2_000
const longestRestMs = 5 * 60_000

export type RestingPlace = {
  /** Leaves the job alone for a while: longer each time, until it is forgotten. */
  rest(trainingId: string): void
  forget(trainingId: string): void
  /** Whether it is to be left alone now. */
  has(trainingId: string): boolean
  ids(): readonly string[]
  /** How many are remembered, also those whose rest is over. */
  readonly size: number
}

/** An outage takes time to pass, and a job for which nothing can be done need not be read each second. */
export function restingPlace(clock: Pick<Clock, 'now'>): RestingPlace {
  const resting = new Map<string, { readonly times: number; readonly until: number }>()
  const isOver = (until: number, now: number) => until <= now

  function has(trainingId: string): boolean {
    const rest = resting.get(trainingId)
    return rest !== undefined && !isOver(rest.until, clock.now().getTime())
  }

  /** A job that has not come back for this long has ended elsewhere. */
  function sweep(now: number): void {
    for (const [id, { until }] of resting) if (isOver(until + longestRestMs, now)) resting.delete(id)
  }

  return {
    rest(trainingId) {
      const now = clock.now().getTime()
      sweep(now)
      const times = (resting.get(trainingId)?.times ?? 0) + 1
      resting.set(trainingId, { times, until: now + Math.min(longestRestMs, firstRestMs * 2 ** (times - 1)) })
    },
    forget: (trainingId) => void resting.delete(trainingId),
    has,
    ids: () => [...resting.keys()].filter(has),
    get size() {
      return resting.size
    },
  }
}
