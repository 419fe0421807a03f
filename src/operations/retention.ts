/**
 * What time removes: the events of ended runs, before that their evidence (logs, stacks), and what failed jobs have left in
 * the store (checkpoints to go on from, files that no model lists). To be called from time to time; each run is swept
 * once, under its lease, so no worker starts on it meanwhile. A failure with one run doesn't stop the others.
 */
import { readManifest } from '../models/manifest.ts'
import type { ObjectRef, Store } from '../storage/store.ts'
import type { Lease, Run, Runs } from '../trainings/runs.ts'
import { type LeaseParts, underLease } from '../trainings/under-lease.ts'
import { manifestObject, publishedObjects, scratchObjects } from './objects.ts'
import type { Kept, Records } from './records.ts'

export type RetentionPorts = Pick<LeaseParts, 'clock'> & {
  readonly records: Records
  readonly runs: Runs
  readonly store: Store
}

/** Days after a run's end. */
export type RetentionSettings = Readonly<Record<`${Kept}Days`, number>>

/** How many runs were swept of what. */
export type Swept = Readonly<Record<Kept, number>>

const dayMs = 24 * 60 * 60_000
/** Of each kind in one call, which comes again in minutes. */
const mostRuns = 100

/** Throws after it has tried all, where some could not be swept. */
export async function sweepRetention(
  ports: RetentionPorts,
  settings: RetentionSettings,
  now: Date,
): Promise<Swept> {
  const removers = {
    evidence: (lease: Lease) => ports.records.removeEvidence(lease),
    events: (lease: Lease) => ports.records.removeEvents(lease),
    leftovers: (_lease: Lease, run: Run) => removeLeftovers(ports.store, run),
  } as const
  const swept = { events: 0, evidence: 0, leftovers: 0 }
  const errors: Error[] = []
  for (const kept of ['evidence', 'events', 'leftovers'] as const) {
    const before = new Date(now.getTime() - settings[`${kept}Days`] * dayMs)
    for (const id of await ports.records.expired(kept, before, mostRuns)) {
      const sweep = async (lease: Lease, run: Run) => {
        if (!run.endedAt || run.endedAt >= before) return // queued again meanwhile
        await removers[kept](lease, run)
        await ports.records.markRemoved(lease, kept)
        swept[kept]++
      }
      await underLease({ ...ports, worker: 'retention' }, id, sweep).catch((error: Error) => {
        errors.push(new Error(`The ${kept} of training ${id} could not be removed: ${error.message}`))
      })
    }
  }
  if (errors.length > 0) throw new AggregateError(errors, errors[0]?.message)
  return swept
}

/**
 * Of a training that has a model the scratch files, which were to be gone at its end, and what a worker that had lost its
 * lease has published beside it; of another everything.
 */
async function removeLeftovers(store: Store, run: Run): Promise<void> {
  const published = await publishedObjects(store, run.id)
  const hasModel = run.outcome?.result !== undefined || run.modelId !== undefined
  const left = [
    ...(await scratchObjects(store, run.id)),
    ...(hasModel
      ? await unlisted(store, published, run.id)
      : [...published, ...(await manifestObject(store, run.id))]),
  ]
  for (const object of left) await store.remove(object)
}

/** Nothing where there is no manifest to go by. */
async function unlisted(
  store: Store,
  published: readonly ObjectRef[],
  trainingId: string,
): Promise<readonly ObjectRef[]> {
  const manifest = await readManifest(store, trainingId)
  if (!manifest) return []
  const listed = new Set([...manifest.models, ...manifest.samples].map(({ key }) => key))
  return published.filter(({ key }) => !listed.has(key) && !key.endsWith('/manifest.json'))
}
