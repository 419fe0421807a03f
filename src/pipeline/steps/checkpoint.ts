/**
 * Checkpoints in the work bucket: an archive a step, and `checkpoint.json`, written after it, that names the newest
 * and the one before. Another machine goes on from there. What is lost or cut costs steps, never the job.
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
const indexSchema = checkpointSchema.extend({ before: checkpointSchema.optional() })

export type Checkpoint = Readonly<z.infer<typeof checkpointSchema>>

type Found = {
  /** Those that the store has, of the right size; newest first. */
  readonly whole: readonly Checkpoint[]
  /** Named, but missing or cut. */
  readonly spoilt: readonly Checkpoint[]
  /** What is wrong, in sentences. */
  readonly troubles: readonly string[]
}

export function checkpointRef(job: Job, step: number): ObjectRef {
  return { bucket: 'work', key: `jobs/${job.training.id}/checkpoint-${step}.tar` }
}

/** The newest that can be gone on from, as far as sizes tell. */
export async function findCheckpoint(job: Job): Promise<Checkpoint | undefined> {
  return (await lookForCheckpoints(job)).whole[0]
}

export async function lookForCheckpoints(job: Job): Promise<Found> {
  const index = await readIndex(job)
  if (index === 'unreadable') {
    const trouble = "the list of checkpoints (checkpoint.json) can't be read; a new one is begun"
    return { whole: [], spoilt: [], troubles: [trouble] }
  }
  const named = index ? [index, index.before].filter((each) => each !== undefined) : []
  const looked = await Promise.all(
    named.map(async ({ step, size, sha256 }) => {
      const found = await job.ports.store.info(checkpointRef(job, step))
      return { checkpoint: { step, size, sha256 }, bytes: found?.size }
    }),
  )
  const isWhole = ({ checkpoint, bytes }: (typeof looked)[number]) => bytes === checkpoint.size
  const spoilt = looked.filter((each) => !isWhole(each))
  return {
    whole: looked.filter(isWhole).map(({ checkpoint }) => checkpoint),
    spoilt: spoilt.map(({ checkpoint }) => checkpoint),
    troubles: spoilt.map(({ checkpoint: { step, size }, bytes }) =>
      bytes === undefined
        ? `the checkpoint of step ${step} is missing in the store`
        : `the checkpoint of step ${step} has ${bytes} bytes in the store, not ${size}`,
    ),
  }
}

/** Sends what lies in /job/checkpoint, then points to it, then removes all but it and its predecessor. */
export async function saveCheckpoint(job: Job, host: Host, step: number, signal: AbortSignal): Promise<void> {
  const { store } = job.ports
  const { whole, spoilt } = await lookForCheckpoints(job)
  const [before, ...older] = whole
  if (before && before.step >= step) return
  const ref = checkpointRef(job, step)
  const seconds = Math.ceil(job.settings.limits.shipping / 1000)
  const { size, sha256 } = await host.uploadFolder(
    'checkpoint',
    await store.presignWrite(ref, seconds),
    signal,
  )
  const stored = await store.info(ref)
  if (stored?.size !== size)
    throw new Error(`checkpoint of step ${step} is ${stored?.size} bytes in the store, not ${size}`)
  await writeIndex(job, { step, size, sha256 }, before)
  await job.tell('checkpoint', `checkpoint of step ${step} is safe`, { step, size })
  for (const old of [...older, ...spoilt])
    if (old.step !== step) await store.remove(checkpointRef(job, old.step))
}

/** One whose content turned out to be wrong; the same step may be saved anew. */
export async function forgetCheckpoint(job: Job, step: number): Promise<void> {
  const { whole } = await lookForCheckpoints(job)
  const [newest, before] = whole.filter((each) => each.step !== step)
  if (newest) await writeIndex(job, newest, before)
  else await job.ports.store.remove(indexOf(job))
  await job.ports.store.remove(checkpointRef(job, step))
}

const mostBytes = 10_000

async function readIndex(job: Job): Promise<z.infer<typeof indexSchema> | 'unreadable' | undefined> {
  const { store } = job.ports
  const found = await store.info(indexOf(job))
  if (!found) return undefined
  if (found.size > mostBytes) return 'unreadable'
  const text = (await store.read(indexOf(job), { maxBytes: mostBytes })).toString()
  try {
    return indexSchema.parse(JSON.parse(text))
  } catch {
    return 'unreadable'
  }
}

async function writeIndex(job: Job, newest: Checkpoint, before: Checkpoint | undefined): Promise<void> {
  const index = { ...newest, ...(before && { before }) }
  await job.ports.store.write(indexOf(job), JSON.stringify(index), 'application/json')
}

function indexOf(job: Job): ObjectRef {
  return { bucket: 'work', key: `jobs/${job.training.id}/checkpoint.json` }
}
