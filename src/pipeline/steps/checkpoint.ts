/**
 * Checkpoints in the work bucket: an archive a step, and `checkpoint.json`, written after it, that names
 * the newest. Another machine goes on from there.
 */
import { z } from 'zod'
import type { Host } from '../../remote/host.ts'
import type { ObjectRef } from '../../storage/store.ts'
import type { Job } from '../job.ts'

const checkpointSchema = z.object({
  step: z.int().positive(),
  size: z.int().positive(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
})

export type Checkpoint = Readonly<z.infer<typeof checkpointSchema>>

export function checkpointKey(trainingId: string, step: number): string {
  return `jobs/${trainingId}/checkpoint-${step}.tar`
}

export async function findCheckpoint(job: Job): Promise<Checkpoint | undefined> {
  const ref = indexOf(job)
  if (!(await job.ports.store.info(ref))) return undefined
  return checkpointSchema.parse(
    JSON.parse((await job.ports.store.read(ref, { maxBytes: 10_000 })).toString()),
  )
}

/** Sends what lies in /job/checkpoint, then points to it, then removes its predecessor. */
export async function saveCheckpoint(job: Job, host: Host, step: number, signal: AbortSignal): Promise<void> {
  const { store } = job.ports
  const before = await findCheckpoint(job)
  if (before && before.step >= step) return
  const ref: ObjectRef = { bucket: 'work', key: checkpointKey(job.training.id, step) }
  const seconds = Math.ceil(job.settings.limits.shipping / 1000)
  const { size, sha256 } = await host.uploadFolder(
    'checkpoint',
    await store.presignWrite(ref, seconds),
    signal,
  )
  const stored = await store.info(ref)
  if (stored?.size !== size)
    throw new Error(`checkpoint of step ${step} is ${stored?.size} bytes in the store, not ${size}`)
  await store.write(indexOf(job), JSON.stringify({ step, size, sha256 }), 'application/json')
  await job.tell('checkpoint', `checkpoint of step ${step} is safe`, { step, size })
  if (before) await store.remove({ bucket: 'work', key: checkpointKey(job.training.id, before.step) })
}

function indexOf(job: Job): ObjectRef {
  return { bucket: 'work', key: `jobs/${job.training.id}/checkpoint.json` }
}
