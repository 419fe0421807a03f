/** Takes a training's lease, works on it, and lets go: the frame around `trainLora`. */
import type { Lease, Run } from '../trainings/runs.ts'
import type { Training } from '../trainings/trainings.ts'
import { endings } from './endings.ts'
import type { JobEvent } from './events.ts'
import { Cancelled, type Job, openJob } from './job.ts'
import { keepLease } from './lease.ts'
import type { Ports } from './ports.ts'
import type { PipelineSettings } from './settings.ts'
import { end } from './steps/end.ts'
import { trainLora } from './train-lora.ts'
import { asAgreed, unwanted } from './wanted.ts'

/** How many workers in a row may crash with a job, without any progress, before it is given up. */
const mostCrashes = 5

/** `taken up`: it was RUNNING before, and no worker held it. */
export type Start = 'claimed' | 'taken up'

/**
 * Resolves to true if something was done for the job: false where another holds the lease, or nothing was left to do.
 * Rejects when the job was left before its end (the error says why): it is unfinished then, and any worker may take
 * it up again.
 */
export async function runJob(
  trainingId: string,
  start: Start,
  ports: Ports,
  settings: PipelineSettings,
  shutdown: AbortSignal,
  onEvent: (event: JobEvent) => void,
): Promise<boolean> {
  const held = await ports.runs.acquire(trainingId, settings.worker, settings.leaseMs)
  if (!held) return false
  const { lease } = held
  const abort = new AbortController()
  const stopBeating = new AbortController()
  let job: Job | undefined
  let beating: Promise<void> | undefined
  try {
    const document = await ports.trainings.read(trainingId)
    const run = await current(held.run, document, lease, ports)
    if (!run) return document?.status === 'RUNNING'
    if (run.hold && document?.status === 'QUEUED') return false // put back since it was looked at, slot and all
    if (run.hold && start === 'taken up' && document?.status === 'RUNNING') {
      await ports.trainings.releaseSlot(trainingId) // it may have no slot: it waits in the queue, as was noted
      return true
    }
    const pollDocument = async () => {
      const why = unwanted(job?.run ?? run, await ports.trainings.read(trainingId))
      if (why) abort.abort(new Cancelled(why))
    }
    beating = keepLease(lease, ports, settings, abort, stopBeating.signal, pollDocument)
    const why = unwanted(run, document)
    if (why) abort.abort(new Cancelled(why))
    const training = asAgreed(trainingId, document, run)
    const signal = AbortSignal.any([abort.signal, shutdown])
    job = openJob({ training, lease, run, ports, settings, signal, onEvent })
    const words = opening(lease, run, settings.worker)
    if (run.hold) job.emit('phase', words, { phase: run.phase })
    else await job.record('phase', words, { phase: run.phase })
    if (run.hold) await job.change({ hold: null })
    const crashes = run.crashes ?? 0
    if (crashes > mostCrashes && !run.outcome) {
      await end(job, 'internal', `${crashes} workers died with it, one after the other`)
    } else await trainLora(job)
    return true
  } finally {
    stopBeating.abort()
    await beating
    await releaseLease(lease, ports)
    const ended = job?.run.endedAt !== undefined
    job?.emit('released', ended ? 'ended' : 'left to be taken up again', { ended })
  }
}

/**
 * The run to go on with; undefined where its training has ended. A document that is RUNNING although its run has ended was
 * queued again: one that made a model gets its ending back, another gets the next run.
 */
async function current(
  run: Run,
  document: Training | undefined,
  lease: Lease,
  { runs, trainings }: Ports,
): Promise<Run | undefined> {
  const { endedAt, outcome } = run
  if (!endedAt || !outcome) return run
  if (document?.status !== 'RUNNING') return undefined
  if (!outcome.result) return runs.restart(lease)
  await trainings.restore(run.id, {
    status: 'COMPLETED',
    remark:
      'This training has made its model already: it is not trained again. Insert a new job for another model.',
    endedAt,
    result: outcome.result,
  })
  await trainings.releaseSlot(run.id)
  return undefined
}

/** Gives a document that was set to RUNNING by hand the ending back that its run had. Nothing is trained or charged. */
export async function restoreEnding(run: Run, { trainings }: Pick<Ports, 'trainings'>): Promise<void> {
  if (!run.endedAt || !run.outcome) return
  const { ending, sentence, result } = run.outcome
  await trainings.restore(run.id, {
    status: result ? 'COMPLETED' : endings[ending].status,
    remark: `${sentence} To train it again, set its status to QUEUED.`.trim(),
    endedAt: run.endedAt,
    result,
  })
}

function opening({ token }: Lease, { number, phase }: Run, worker: string): string {
  if (token === 1) return 'claimed'
  return number > 1 && phase === 'claimed' ? `run ${number}: claimed` : `taken up by ${worker}`
}

/** A lease that can't be released expires by itself; one that another worker has by now is left alone. */
async function releaseLease(lease: Lease, { runs }: Ports): Promise<void> {
  await runs.release(lease).catch(() => {})
}
