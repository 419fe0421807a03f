/**
 * Holding on to a job. A heartbeat extends the lease and checks that the job is still wanted. The
 * lease is taken for lost when the database says so, or when no heartbeat came through for as long as it
 * lasts, however long each of them waits for an unreachable database.
 */
import type { Lease } from '../trainings/runs.ts'
import { LeaseLost } from '../trainings/runs.ts'
import type { Ports } from './ports.ts'
import type { PipelineSettings } from './settings.ts'
import { startWatchdog } from './watchdog.ts'

/**
 * Beats until `stop` aborts; aborts `job` when the job must not go on here. `look` is called after each heartbeat that
 * came through; what it throws is tried again with the next.
 */
export async function keepLease(
  lease: Lease,
  ports: Pick<Ports, 'runs' | 'clock'>,
  settings: Pick<PipelineSettings, 'leaseMs' | 'heartbeatMs'>,
  job: AbortController,
  stop: AbortSignal,
  look: () => Promise<void> = async () => {},
): Promise<void> {
  const silence = startWatchdog(ports.clock, settings.leaseMs, () => job.abort(new LeaseLost(lease)))
  try {
    while (!(job.signal.reason instanceof LeaseLost)) {
      await ports.clock.sleep(settings.heartbeatMs, stop)
      await heartbeat().catch((error) => {
        if (error instanceof LeaseLost) job.abort(error)
      })
    }
  } catch (error) {
    if (!stop.aborted) throw error
  } finally {
    silence.stop()
  }

  async function heartbeat(): Promise<void> {
    await ports.runs.renew(lease, settings.leaseMs)
    silence.feed()
    await look()
  }
}
