/**
 * `bellows forget`: leaves nothing findable of a training, or of all trainings of an account: files, models in the
 * gallery, ComfyUI's list, manifest, checkpoints, events, evidence, words of alerts. The ledger's rows and the numbers of a run
 * (times, machines, costs, points) are accounting and stay, and so does the document, which is the platform's.
 *
 * A training's run is held by its lease meanwhile, so no worker begins with it again. The run is scrubbed last: what
 * was cut short is found again, and goes on.
 */
import type { ObjectRef, Store } from '../storage/store.ts'
import { allAttempts, LeaseLost, type Runs } from '../trainings/runs.ts'
import { type LeaseParts, underLease } from '../trainings/under-lease.ts'
import { manifestObject, publishedObjects, scratchObjects } from './objects.ts'
import type { Records, Trace } from './records.ts'

export type ForgetPorts = Pick<LeaseParts, 'clock'> & {
  readonly records: Records
  readonly runs: Runs
  readonly store: Store
}

export type Forgotten = {
  /** Training or account. */
  readonly id: string
  /** `bucket/key`. */
  readonly objects: readonly string[]
  /** How many records, by name. */
  readonly records: Readonly<Record<string, number>>
}

export type ForgetOptions = {
  /** Only says what would be removed. */
  readonly dryRun?: boolean
  /** As the lease names this process. */
  readonly owner: string
  readonly onForgotten?: (forgotten: Forgotten) => void
}

/** Throws, before anything is removed, where a training is not over. */
export async function forget(
  ports: ForgetPorts,
  id: string,
  { dryRun = false, owner, onForgotten = () => {} }: ForgetOptions,
): Promise<readonly Forgotten[]> {
  if (id === '' || id.includes('/')) throw new Error(`"${id}" is the id of no training and no account.`)
  const owned = await ports.records.trainingsOf(id)
  const trainings = owned.length > 0 ? owned : [id]
  const live = (await Promise.all(trainings.map((each) => whyLive(ports, each)))).filter((why) => why !== '')
  if (live.length > 0) throw new Error(`Nothing was removed. ${live.join(' ')}`)

  const all: Forgotten[] = []
  const add = (forgotten: Forgotten) => {
    if (forgotten.objects.length === 0 && Object.keys(forgotten.records).length === 0) return
    all.push(forgotten)
    onForgotten(forgotten)
  }
  for (const training of trainings) {
    add(dryRun ? await found(ports, training) : await forgetOne(ports, training, owner))
  }
  const elsewhere = ports.records.tracesOfAccount(id)
  const records = await countsOf(elsewhere)
  if (!dryRun) for (const { remove } of elsewhere) await remove()
  add({ id, objects: [], records })
  return all
}

/** For people: a line for each object and each kind of record. */
export function forgottenText({ id, objects, records }: Forgotten): string {
  const counts = Object.entries(records).map(([name, count]) => `  ${count} ${name}`)
  return [id, ...objects.map((object) => `  ${object}`), ...counts].join('\n')
}

/** A sentence; empty where nothing goes on. */
async function whyLive({ runs, records }: ForgetPorts, id: string): Promise<string> {
  const run = await runs.read(id)
  if ((await records.statusOf(id)) === 'QUEUED') return `Training ${id} is queued: set it to CANCELLED first.`
  if (!run) return ''
  if (!run.endedAt) return `Training ${id} is not over: cancel it, or wait for its end.`
  const machine = allAttempts(run).find(({ tornDownAt }) => tornDownAt === undefined)
  return machine ? `Machine ${machine.name} of training ${id} may still exist: run \`bellows reap\`.` : ''
}

async function forgetOne(ports: ForgetPorts, id: string, owner: string): Promise<Forgotten> {
  if (!(await ports.runs.read(id))) return remove(ports, id, () => {})
  const forgotten = await underLease({ ...ports, worker: owner }, id, async (lease, _, isLost) => {
    const live = await whyLive(ports, id)
    if (live) throw new Error(live)
    const removed = await remove(ports, id, () => {
      if (isLost()) throw new LeaseLost(lease)
    })
    await ports.records.scrubRun(lease)
    return removed
  })
  if (!forgotten)
    throw new Error(`Training ${id} is held by a worker, or is another deployment's. Try again there.`)
  return forgotten
}

/** Lists first, so that no list leads to a file that is gone. `mayGoOn` throws where it may not. */
async function remove(ports: ForgetPorts, id: string, mayGoOn: () => void): Promise<Forgotten> {
  const forgotten = await found(ports, id)
  for (const trace of ports.records.tracesOf(id)) {
    mayGoOn()
    await trace.remove()
  }
  for (const object of await objectsOf(ports.store, id)) {
    mayGoOn()
    await ports.store.remove(object)
  }
  return forgotten
}

async function found({ records, store }: ForgetPorts, id: string): Promise<Forgotten> {
  const objects = (await objectsOf(store, id)).map(({ bucket, key }) => `${bucket}/${key}`)
  return { id, objects, records: await countsOf(records.tracesOf(id)) }
}

async function objectsOf(store: Store, id: string): Promise<readonly ObjectRef[]> {
  const [published, scratch, manifests] = await Promise.all([
    publishedObjects(store, id),
    scratchObjects(store, id),
    manifestObject(store, id),
  ])
  return [...published, ...scratch, ...manifests]
}

async function countsOf(traces: readonly Trace[]): Promise<Readonly<Record<string, number>>> {
  const counts = await Promise.all(traces.map(async ({ name, count }) => [name, await count()] as const))
  return Object.fromEntries(counts.filter(([, count]) => count > 0))
}
