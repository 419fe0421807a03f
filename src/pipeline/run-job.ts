/** Takes a training's lease, works on it, and lets go: the frame around `trainLora`. */
import type { Lease } from '../trainings/runs.ts'
import type { JobEvent } from './events.ts'
import { Cancelled, type Job, openJob } from './job.ts'
import { keepLease } from './lease.ts'
import type { Ports } from './ports.ts'
import type { PipelineSettings } from './settings.ts'
import { trainLora } from './train-lora.ts'

/**
 * Resolves to false if another worker holds the lease. Rejects when the job was left before its end (the
 * error says why): it is unfinished then, and anybody may take it up again.
 */
export async function runJob(
  trainingId: string,
  ports: Ports,
  settings: PipelineSettings,
  shutdown: AbortSignal,
  onEvent: (event: JobEvent) => void,
): Promise<boolean> {
  const held = await ports.runs.acquire(trainingId, settings.worker, settings.leaseMs)
  if (!held) return false
  const { lease, run } = held
  if (run.endedAt) return letGo(lease, ports) // while this worker was about to take it
  const abort = new AbortController()
  const stopBeating = new AbortController()
  let job: Job | undefined
  const beating = keepLease(lease, ports, settings, abort, stopBeating.signal)
  try {
    const training = await ports.trainings.read(trainingId)
    if (!training) throw new Error(`training ${trainingId} is not in the database any more`)
    if (training.status === 'CANCELLED') abort.abort(new Cancelled('cancelled by its owner'))
    const signal = AbortSignal.any([abort.signal, shutdown])
    job = openJob({ training, lease, run, ports, settings, signal, onEvent })
    await job.tell('phase', lease.token === 1 ? 'claimed' : `taken up by ${settings.worker}`, {
      phase: run.phase,
    })
    await trainLora(job)
    return true
  } finally {
    stopBeating.abort()
    await beating
    await letGo(lease, ports)
    const ended = job?.run.endedAt !== undefined
    job?.show('released', ended ? 'ended' : 'left to be taken up again', { ended })
  }
}

/** A lease that can't be released ends by itself; one that another has by now stays his. */
async function letGo(lease: Lease, { runs }: Ports): Promise<true> {
  await runs.release(lease).catch(() => {})
  return true
}
