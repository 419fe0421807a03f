/**
 * Holding on to a job. A heartbeat extends the lease and looks whether the owner has cancelled. The
 * lease is taken for lost when the database says so, or when it could not be reached for as long as the
 * lease lasts (measured here by waits, not by the wall clock, which may jump).
 */
import type { Lease } from '../trainings/runs.ts'
import { LeaseLost } from '../trainings/runs.ts'
import { Cancelled } from './job.ts'
import type { Ports } from './ports.ts'
import type { PipelineSettings } from './settings.ts'

/** Beats until `stop` aborts; aborts `job` when the job must not go on here. */
export async function keepLease(
  lease: Lease,
  ports: Pick<Ports, 'runs' | 'trainings' | 'clock'>,
  settings: Pick<PipelineSettings, 'leaseMs' | 'heartbeatMs'>,
  job: AbortController,
  stop: AbortSignal,
): Promise<void> {
  let unheardMs = 0
  while (!stop.aborted) {
    try {
      await ports.clock.sleep(settings.heartbeatMs, stop)
    } catch {
      return
    }
    try {
      await ports.runs.renew(lease, settings.leaseMs)
      unheardMs = 0
      const training = await ports.trainings.read(lease.trainingId)
      if (!training || training.status === 'CANCELLED') job.abort(new Cancelled('cancelled by its owner'))
    } catch (error) {
      unheardMs += settings.heartbeatMs
      if (error instanceof LeaseLost) job.abort(error)
      else if (unheardMs >= settings.leaseMs) job.abort(new LeaseLost(lease))
      if (job.signal.reason instanceof LeaseLost) return
    }
  }
}
