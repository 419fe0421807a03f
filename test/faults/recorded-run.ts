/**
 * A training as a release left it in the middle of its way: every document and object of it, as extended JSON in
 * `test/fixtures/runs/<version>/<moment>.json`. `restore` puts one into a world, as if its worker had been stopped there.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BSON } from 'mongodb'
import type { Movement } from '../../src/ledger/ledger.ts'
import type { Bucket } from '../../src/storage/store.ts'
import type { Attempt, Phase, Run } from '../../src/trainings/runs.ts'
import type { TimelineEvent } from '../../src/trainings/timeline.ts'
import type { World } from './world.ts'

export type RecordedRun = {
  /** As in `trainingRuns`, without its lease. */
  readonly run: Omit<Run, 'id'> & { readonly _id: string }
  /** As in `trainingJobs` and `datasets`. */
  readonly training: Readonly<Record<string, unknown>>
  readonly dataset: Readonly<Record<string, unknown>>
  readonly movements: readonly Movement[]
  readonly timeline: readonly TimelineEvent[]
  /** `body` is base64. */
  readonly objects: readonly { readonly bucket: Bucket; readonly key: string; readonly body: string }[]
}

export const moments = ['planned', 'charged', 'training', 'shipped', 'ended'] as const
export type Moment = (typeof moments)[number]

export const recordings = join(import.meta.dirname, '../fixtures/runs')

export const versions = readdirSync(recordings)

export function readRecording(version: string, moment: Moment): RecordedRun {
  return BSON.EJSON.parse(readFileSync(join(recordings, version, `${moment}.json`), 'utf8')) as RecordedRun
}

export async function restore(world: World, recorded: RecordedRun): Promise<string> {
  const { _id: id, attempts, phaseTimes, phase: _, lastEvent, startedAt, ...fields } = recorded.run
  world.trainings.insert({ ...recorded.training })
  world.datasets.insert({ ...recorded.dataset })
  for (const { bucket, key, body } of recorded.objects) {
    await world.store.write({ bucket, key }, Buffer.from(body, 'base64'), 'application/octet-stream')
  }
  const owner = String(recorded.training.ownerAccountId)
  await world.ledger.topUp(owner, 5000, `top-up:${owner}`)
  for (const { key, accountId, points } of recorded.movements) {
    if (key.startsWith('charge:')) await world.ledger.charge({ trainingId: id, run: 1 }, accountId, -points)
  }
  for (const { name: key, reservedUsd: usd } of attempts) {
    await world.budget.reserve({ key, usd }, { dayUsd: 1000, monthUsd: 1000 }, world.clock.now())
  }

  const held = await world.runs.acquire(id, 'the worker that was stopped', 60_000)
  if (!held) throw new Error(`the run ${id} is there already`)
  const { lease } = held
  for (const event of recorded.timeline) {
    const { number: _number, at: _at, ...told } = event
    await world.runs.change(lease, { event: told })
    await world.timeline.append(event)
  }
  for (const reached of Object.keys(phaseTimes) as Phase[]) await world.runs.change(lease, { phase: reached })
  for (const attempt of attempts) await world.runs.addAttempt(lease, { run: 1, ...attempt } as Attempt)
  await world.runs.change(lease, fields)
  await world.runs.release(lease)
  return id
}
