/** What strangers write into a document reaches no log, terminal or page as more than letters. */
import { expect, test } from 'vitest'
import { shownRun } from '../../src/operations/show.ts'
import { jobPage, overviewPage } from '../../src/web/pages.ts'
import { statusOf } from '../../src/web/status.ts'
import { allEnded, insertJob } from './jobs.ts'
import { createWorld, type World } from './world.ts'

const hour = 3_600_000
/** Clears a terminal, in two ways, breaks the line and turns the reading direction. */
const marks = '\u001b[2J\u009b2J\r\u2028\u202e\u061c'
const hostile = `red${marks}kite`
const unprintable = /(?!\n)[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/u

/** Everything that is told of all jobs, by where it is told. */
async function told(world: World, ids: readonly string[]) {
  const status = statusOf({
    worker: 'worker',
    ports: world,
    budget: { dayUsd: 200, monthUsd: 2000 },
    active: () => [],
    health: () => ({ healthy: true, active: 0, lastLookAt: undefined }),
  })
  const overview = await status.overview()
  const places: Record<string, unknown> = {
    overview,
    page: String(overviewPage(overview)),
    alerts: world.alerts.said,
  }
  for (const id of ids) {
    const job = await status.job(id)
    places[`job ${id}`] = job
    places[`page ${id}`] = job && String(jobPage(job))
    const run = await world.runs.read(id)
    places[`shown ${id}`] = run && shownRun(run, await world.timeline.read(id))
    places[`reason ${id}`] = world.trainings.document(id)?.failureReason
  }
  places.log = world.events.map(({ message }) => message)
  places.models = world.models.all().map(({ name, triggerWords }) => [name, triggerWords])
  return places
}

function textsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value]
  if (typeof value !== 'object' || value === null) return []
  return [...Object.keys(value), ...Object.values(value).flatMap(textsIn)]
}

test.each<[string, Record<string, unknown>, Record<string, unknown>]>([
  [
    'names and overrides of a job that is trained',
    { modelName: hostile, triggerWord: hostile, notes: hostile },
    { name: hostile },
  ],
  ['an offering', { offeringId: hostile }, {}],
  ['a base model', { baseModel: hostile }, {}],
  ['an image', { trainerImage: hostile }, {}],
  ['an override', { optimizer: hostile }, {}],
  ['a list of overrides', { targets: [hostile] }, {}],
  ['the name of a field', { [`rank${marks}`]: 5, [`ra${marks}nk`]: 5, 'ra-nk': 16 }, {}],
  ['a dataset’s id', { datasetId: hostile }, {}],
  ['a dataset’s status', {}, { name: hostile, status: hostile }],
  ['a dataset that is another’s', {}, { name: hostile, visibility: hostile }],
])('%s: no escape sequence is told anywhere', async (_, fields, dataset) => {
  const world = createWorld()
  await world.install()
  const id = await insertJob(world, fields, dataset)
  world.startWorker('worker')
  await world.clock.runUntil(() => allEnded(world, [id]), 4 * hour)
  expect(world.trainings.document(id)?.status).toMatch(/^(COMPLETED|FAILED)$/)
  for (const [place, said] of Object.entries(await told(world, [id])))
    for (const text of textsIn(said)) expect(text, place).not.toMatch(unprintable)
})

test('documents that are not understood: no escape sequence of their id or status is told anywhere', async () => {
  const world = createWorld()
  world.trainings.insert({ status: hostile })
  world.trainings.insert({ _id: { x: hostile } as never, status: 'QUEUED' })
  const places = await told(world, [])
  expect(JSON.stringify(places)).toContain('its status is the text')
  for (const [place, said] of Object.entries(places))
    for (const text of textsIn(said)) expect(text, place).not.toMatch(unprintable)
})
