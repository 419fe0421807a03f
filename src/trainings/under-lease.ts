/**
 * Work on a run by another process than its worker, such as the reaper or `forget`: under the run's lease, so that no
 * two ever judge or tear down the same at a time. The lease is kept for as long as the work takes, which may be many
 * times its length.
 */
import type { Clock } from '../clock.ts'
import { type Lease, LeaseLost, type Run, type Runs } from './runs.ts'

export type LeaseParts = {
  readonly runs: Pick<Runs, 'acquire' | 'renew' | 'release'>
  readonly clock: Clock
  /** Who holds it, as leases name it. */
  readonly worker: string
  /** Default 60,000: after a reaper that died, a job waits no longer than that. */
  readonly leaseMs?: number
}

/**
 * Gives `work` the run as it is under the lease. Resolves to undefined, and has done nothing, where another holds it.
 * `isLost` says whether another may have it by now: who asks must write nothing more then.
 */
export async function underLease<T>(
  { runs, clock, worker, leaseMs = 60_000 }: LeaseParts,
  trainingId: string,
  work: (lease: Lease, run: Run, isLost: () => boolean) => Promise<T>,
): Promise<T | undefined> {
  const held = await runs.acquire(trainingId, worker, leaseMs)
  if (!held) return undefined
  const { lease, run } = held
  const done = new AbortController()
  let lost = false
  let renewedAt = clock.now().getTime()
  const isLost = () => lost || clock.now().getTime() - renewedAt >= leaseMs
  const renewing = renewUntil(done.signal).catch(() => {})
  try {
    return await work(lease, run, isLost)
  } finally {
    done.abort()
    await renewing
    await runs.release(lease).catch(() => {}) // one that can't be released ends by itself
  }

  async function renewUntil(signal: AbortSignal): Promise<void> {
    while (!lost) {
      await clock.sleep(leaseMs / 3, signal)
      const asked = clock.now().getTime()
      try {
        await runs.renew(lease, leaseMs)
        renewedAt = asked
      } catch (error) {
        lost = error instanceof LeaseLost // a database that is away for a moment is asked again
      }
    }
  }
}
