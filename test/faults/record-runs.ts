/**
 * `node test/faults/record-runs.ts`, once for each release: one training in a world, recorded at every moment of
 * recorded-run.ts, into a folder with the version's name. A recording that is there is never made again.
 */
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BSON } from 'mongodb'
import type { Run } from '../../src/trainings/runs.ts'
import { allEnded, insertJob } from './jobs.ts'
import { type Moment, moments, type RecordedRun, recordings } from './recorded-run.ts'
import { createWorld, type World } from './world.ts'

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8'))
const folder = join(recordings, version)
if (existsSync(folder)) throw new Error(`${folder} is there: raise the version in package.json first`)

/** The first time that one of these is true of the run, it is that moment. */
const isMoment: Readonly<Record<Moment, (run: Run) => boolean>> = {
  planned: ({ plan, chargedPoints }) => plan !== undefined && chargedPoints === undefined,
  charged: ({ phase }) => phase === 'charged',
  training: ({ phase, lastEvent }) => phase === 'staged' && lastEvent?.kind === 'checkpoint',
  shipped: ({ phase }) => phase === 'shipped',
  ended: ({ endedAt }) => endedAt !== undefined,
}

const world = createWorld()
await world.install()
const id = await insertJob(world, { modelName: 'Red kite', triggerWord: 'rdkt' })
const recorded = new Map<Moment, RecordedRun>()
world.startWorker('worker', { after: look })
await world.clock.runUntil(() => allEnded(world, [id]), 3_600_000)
await look()
const missing = moments.filter((moment) => !recorded.has(moment))
if (missing.length > 0) throw new Error(`the training was never ${missing.join(', ')}`)
await mkdir(folder, { recursive: true })
for (const [moment, found] of recorded) {
  await writeFile(join(folder, `${moment}.json`), `${BSON.EJSON.stringify(found, undefined, 2)}\n`)
}
console.log(`${folder}: ${moments.join(', ')}`)

async function look(): Promise<void> {
  const run = await world.runs.read(id)
  if (!run) return
  for (const moment of moments) {
    if (!recorded.has(moment) && isMoment[moment](run)) recorded.set(moment, await snapshot(world, run))
  }
}

async function snapshot(world: World, { id, ...run }: Run): Promise<RecordedRun> {
  const training = world.trainings.document(id) ?? {}
  const dataset = world.datasets.document(String(training.datasetId)) ?? {}
  const objects = []
  for (const bucket of ['work', 'models'] as const) {
    for (const { key } of await world.store.list(bucket, '')) {
      objects.push({ bucket, key, body: (await world.store.read({ bucket, key })).toString('base64') })
    }
  }
  return BSON.EJSON.parse(
    BSON.EJSON.stringify({
      run: { _id: id, ...run },
      training,
      dataset,
      movements: await world.ledger.movements(id),
      timeline: await world.timeline.read(id),
      objects,
    }),
  ) as RecordedRun
}
