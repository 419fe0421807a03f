/**
 * Checkpoints in the work bucket: an archive a step, and beside it a note, written after it, of its name, size and sum.
 * Another machine goes on from the newest whole one. What is lost or cut costs steps, never the job.
 *
 * A worker that has lost its lease may still save. A note is of one step, so it can add an older checkpoint and take no
 * newer one away; an archive has a name of its own, so it can't change the one that another's note has the sum of.
 */
import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import type { Host } from '../../remote/host.ts'
import type { ObjectRef, Store } from '../../storage/store.ts'
import type { Job } from '../job.ts'

const checkpointSchema = z.object({
  step: z.int().positive(),
  /** Last part of the archive's name. Notes of earlier releases have none. */
  suffix: z
    .string()
    .regex(/^[0-9a-f]{8}$/)
    .optional(),
  size: z.int().positive(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
})

export type Checkpoint = Readonly<z.infer<typeof checkpointSchema>>

type Found = {
  /** Those that the store has, of the right size; newest first. */
  readonly whole: readonly Checkpoint[]
  /** Steps of those that are missing or cut, or of which nothing can be read. */
  readonly spoilt: readonly number[]
  /** What is wrong, in sentences. */
  readonly troubles: readonly string[]
}

export function checkpointRef(job: Job, { step, suffix }: Pick<Checkpoint, 'step' | 'suffix'>): ObjectRef {
  const name = suffix === undefined ? `${step}` : `${step}-${suffix}`
  return { bucket: 'work', key: `${folderOf(job)}checkpoint-${name}.tar` }
}

/** The newest that can be gone on from, as far as sizes tell. */
export async function findCheckpoint(job: Job): Promise<Checkpoint | undefined> {
  return (await lookForCheckpoints(job)).whole[0]
}

export async function lookForCheckpoints(job: Job): Promise<Found> {
  const { store } = job.ports
  const objects = await store.list('work', `${folderOf(job)}checkpoint`)
  const sizes = new Map(objects.map(({ key, size }) => [key, size]))
  const steps = objects.flatMap(({ key }) => /\/checkpoint-(\d+)\.json$/.exec(key)?.[1] ?? []).map(Number)
  const notes = steps.length > 0 ? await readNotes(job, steps, sizes) : await readEarlierList(job, sizes)
  const looked = notes
    .toSorted((one, other) => other.step - one.step)
    .map(({ step, checkpoint }) => {
      const { key } = checkpointRef(job, checkpoint ?? { step })
      return { step, checkpoint, trouble: troubleOf({ step, checkpoint }, sizes.get(key)) }
    })
  return {
    whole: looked.flatMap(({ checkpoint, trouble }) => (checkpoint && !trouble ? [checkpoint] : [])),
    spoilt: looked.flatMap(({ step, trouble }) => (trouble ? [step] : [])),
    troubles: looked.flatMap(({ trouble }) => trouble ?? []),
  }
}

/** Sends what lies in /job/checkpoint, then notes it, then removes all but it and its predecessor. */
export async function saveCheckpoint(job: Job, host: Host, step: number, signal: AbortSignal): Promise<void> {
  const { store } = job.ports
  const { whole, spoilt } = await lookForCheckpoints(job)
  const [before, ...older] = whole
  if (before && before.step >= step) return
  const suffix = randomBytes(4).toString('hex')
  const ref = checkpointRef(job, { step, suffix })
  const seconds = Math.ceil(job.settings.limits.shipping / 1000)
  const { size, sha256 } = await host.uploadFolder(
    'checkpoint',
    await store.presignWrite(ref, seconds),
    signal,
  )
  const stored = await store.info(ref)
  if (stored?.size !== size)
    throw new Error(`checkpoint of step ${step} is ${stored?.size} bytes in the store, not ${size}`)
  const note: Checkpoint = { step, suffix, size, sha256 }
  await store.write(noteRef(job, step), JSON.stringify(note), 'application/json')
  await job.record('checkpoint', `checkpoint of step ${step} is safe`, { step, size })
  for (const old of [...older.map((each) => each.step), ...spoilt])
    if (old < step) await forgetCheckpoint(job, old)
}

/** One whose content turned out to be wrong, or that is not needed any more; the same step may be saved anew. */
export async function forgetCheckpoint(job: Job, step: number): Promise<void> {
  const { store } = job.ports
  await store.remove(noteRef(job, step))
  const ofStep = `${folderOf(job)}checkpoint-${step}`
  for (const { key } of await store.list('work', ofStep))
    if (key === `${ofStep}.tar` || key.startsWith(`${ofStep}-`)) await store.remove({ bucket: 'work', key })
}

type Note = { readonly step: number; readonly checkpoint: Checkpoint | undefined }

function troubleOf({ step, checkpoint }: Note, bytes: number | undefined): string | undefined {
  if (!checkpoint) return `what is noted of the checkpoint of step ${step} can't be read`
  if (bytes === undefined) return `the checkpoint of step ${step} is missing in the store`
  const { size } = checkpoint
  return bytes === size
    ? undefined
    : `the checkpoint of step ${step} has ${bytes} bytes in the store, not ${size}`
}

const mostBytes = 10_000

async function readNotes(
  job: Job,
  steps: readonly number[],
  sizes: ReadonlyMap<string, number>,
): Promise<readonly Note[]> {
  return Promise.all(
    steps.map(async (step) => {
      const checkpoint = await readJson(job.ports.store, noteRef(job, step), checkpointSchema, sizes)
      return { step, checkpoint: checkpoint?.step === step ? checkpoint : undefined }
    }),
  )
}

/** 0.1.0 kept one list of two. */
async function readEarlierList(job: Job, sizes: ReadonlyMap<string, number>): Promise<readonly Note[]> {
  const ref = { bucket: 'work', key: `${folderOf(job)}checkpoint.json` } as const
  const schema = checkpointSchema.extend({ before: checkpointSchema.optional() })
  const list = sizes.has(ref.key) ? await readJson(job.ports.store, ref, schema, sizes) : undefined
  return [list, list?.before].flatMap((each) => (each ? [{ step: each.step, checkpoint: each }] : []))
}

/** Undefined where it makes no sense. */
async function readJson<T>(
  store: Store,
  ref: ObjectRef,
  schema: z.ZodType<T>,
  sizes: ReadonlyMap<string, number>,
): Promise<T | undefined> {
  if ((sizes.get(ref.key) ?? 0) > mostBytes) return undefined
  const text = (await store.read(ref, { maxBytes: mostBytes })).toString()
  try {
    return schema.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}

function folderOf(job: Job): string {
  return `jobs/${job.training.id}/`
}

function noteRef(job: Job, step: number): ObjectRef {
  return { bucket: 'work', key: `${folderOf(job)}checkpoint-${step}.json` }
}
