/** What the status page and its JSON say of jobs: the page as a person sees it, over a deployment in memory. */
import { ObjectId } from 'mongodb'
import { expect, test } from 'vitest'
import { jobPage, overviewPage } from '../../src/web/pages.ts'
import { statusOf } from '../../src/web/status.ts'
import { allEnded, insertJob } from './jobs.ts'
import { createWorld, type World } from './world.ts'

const hour = 3_600_000
const budget = { dayUsd: 200, monthUsd: 2000 }

function statusIn(world: World, worker: string, active: readonly string[] = []) {
  const health = () => ({ healthy: true, active: active.length, lastLookAt: undefined })
  return statusOf({ worker, ports: world, budget, active: () => active, health })
}

/** Tags gone, spaces joined. */
const textOf = (page: unknown) =>
  String(page)
    .replace(/<[^>]*>/g, ' ')
    .replace(/&#39;/g, "'")
    .replace(/\s+/g, ' ')

const overviewIn = async (world: World, worker = 'one') =>
  textOf(overviewPage(await statusIn(world, worker).overview()))

async function jobIn(world: World, id: string) {
  const job = await statusIn(world, 'one').job(id)
  if (!job) throw new Error(`no run of ${id}`)
  const page = String(jobPage(job))
  const lit = [...page.matchAll(/<span class="done">([^<]*)<\/span>/g)].map(([, phase]) => phase)
  return { lit, text: textOf(page) }
}

test('a job that is refused before any charge shows that it was claimed, and no phase more', async () => {
  const world = createWorld()
  await world.install()
  const id = await insertJob(world, { rank: 'many' })
  world.startWorker('one')
  await world.clock.runUntil(() => allEnded(world, [id]), hour)
  expect((await jobIn(world, id)).lit).toEqual(['claimed'])
  expect((await statusIn(world, 'one').overview()).runs[0]).toMatchObject({
    phase: 'claimed',
    state: 'ended',
    ending: 'bad-request',
  })
})

test('a job that was trained shows all nine', async () => {
  const world = createWorld()
  await world.install()
  const id = await insertJob(world)
  world.startWorker('one')
  await world.clock.runUntil(() => allEnded(world, [id]), 4 * hour)
  const { lit } = await jobIn(world, id)
  expect([lit.length, lit[0], lit.at(-1)]).toEqual([9, 'claimed', 'torn down'])
})

test('each of two workers shows the other’s job as the other’s, and a dead one’s as awaiting a worker', async () => {
  const world = createWorld()
  await world.install()
  const id = await insertJob(world)
  const two = world.startWorker('two')
  await world.clock.runUntil(() => world.events.some(({ kind }) => kind === 'step'), hour)
  const seen = await statusIn(world, 'one').overview()
  expect(seen.runs).toMatchObject([{ id, state: 'running', worker: 'two' }])
  const page = await overviewIn(world)
  expect(page).toContain('(on two)')
  expect(page).not.toContain('waiting for a worker')
  two.kill()
  const end = world.clock.elapsed + 60_000
  await world.clock.runUntil(() => world.clock.elapsed >= end, hour)
  expect((await statusIn(world, 'one').overview()).runs).toMatchObject([{ id, state: 'waiting', worker: '' }])
  expect(await overviewIn(world)).toContain('(waiting for a worker)')
})

test('what is spent today does not count what is only reserved', async () => {
  const world = createWorld()
  const now = world.clock.now()
  await world.budget.reserve({ key: 'gone', usd: 4 }, budget, now)
  await world.budget.settle('gone', 1.25)
  await world.budget.reserve({ key: 'there', usd: 3 }, budget, now)
  const page = await overviewIn(world)
  expect(page).toContain('$1.25 spent of $200 today, and $3.00 reserved')
  expect(page).toContain('$1.25 spent of $2000 this month, and $3.00 reserved')
})

test('a held job is shown with its reason and its next try, on both pages and in the JSON', async () => {
  const world = createWorld()
  await world.install()
  await world.budget.reserve({ key: 'all', usd: 200 }, budget, world.clock.now())
  const id = await insertJob(world)
  world.startWorker('one')
  await world.clock.runUntil(() => world.events.some(({ kind }) => kind === 'held'), hour)
  await world.clock.runUntil(() => !world.runs.isHeld(id), hour)
  const { held, runs } = await statusIn(world, 'one').overview()
  expect(held).toMatchObject([{ id, reason: expect.stringMatching(/budget for machines .*used up/) }])
  expect(runs).toMatchObject([{ id, state: 'held', hold: { until: held[0]?.until } }])
  const sentence = `Held: ${held[0]?.reason}, next try at ${held[0]?.until.toISOString().slice(0, 16).replace('T', ' ')} UTC`
  expect(await overviewIn(world)).toContain(sentence)
  expect((await jobIn(world, id)).text).toContain(sentence)
})

test('documents that are not understood are counted and told, as text and not as markup', async () => {
  const world = createWorld()
  world.trainings.insert({ _id: new ObjectId('0123456789abcdef01234567'), status: '<b>SOON</b>' })
  const overview = await statusIn(world, 'one').overview()
  expect(overview.notUnderstood.count).toBe(1)
  const page = String(overviewPage(overview))
  expect(textOf(page)).toContain(
    'Documents that are not understood and left alone (1): 0123456789abcdef01234567',
  )
  expect(page).toContain('&lt;b&gt;SOON')
})

test('while claiming is paused both say since when and why; afterwards nothing', async () => {
  const world = createWorld()
  await world.trainings.pause('new images')
  expect((await statusIn(world, 'one').overview()).paused).toMatchObject({ by: 'new images' })
  expect(await overviewIn(world)).toMatch(/No new job is claimed since 20.* UTC: new images/)
  await world.trainings.resume()
  expect((await statusIn(world, 'one').overview()).paused).toBeNull()
  expect(await overviewIn(world)).not.toContain('No new job is claimed')
})
