/** Upgrades in mid-training: what every release has left behind, taken up by the workers of this one. */
import { expect, test } from 'vitest'
import type { Plan } from '../../src/recipes/plan.ts'
import { allEnded } from './jobs.ts'
import { brokenPromises } from './promises.ts'
import { moments, type RecordedRun, readRecording, restore, versions } from './recorded-run.ts'
import { createWorld } from './world.ts'

const hour = 3_600_000

/** A minute after the worker was stopped, another begins: the machine of before is gone by then. */
async function takeUp(recorded: RecordedRun) {
  const world = createWorld()
  await world.install()
  const id = await restore(world, recorded)
  let later = false
  void world.clock.sleep(60_000).then(() => {
    later = true
  })
  await world.clock.runUntil(() => later, hour)
  world.startWorker('worker of today')
  await world.clock.runUntil(() => allEnded(world, [id]), 12 * hour)
  const run = await world.runs.read(id)
  const points = (await world.ledger.movements(id)).map(({ key, points }) => ({ key, points }))
  return { world, id, run, document: world.trainings.document(id), points }
}

test('there is a recording of a release', () => {
  expect(versions.length).toBeGreaterThan(0)
})

const interrupted = versions.flatMap((version) =>
  moments.filter((moment) => moment !== 'ended').map((moment) => ({ version, moment })),
)

test.each(interrupted)(
  'a run that $version left when it was $moment is gone on with, and charged once',
  async ({ version, moment }) => {
    const recorded = readRecording(version, moment)
    const { world, id, run, document, points } = await takeUp(recorded)
    expect(run?.outcome?.ending).toBe('trained')
    expect(run?.plan).toEqual(recorded.run.plan)
    expect(document).toMatchObject({ status: 'COMPLETED', progress: 100 })
    expect(points.map(({ points }) => points)).toEqual([-1000, 100, 50])
    expect(world.models.all()).toHaveLength(1)
    expect(await brokenPromises(world, [id])).toEqual([])
  },
)

test.each(versions)('a training that %s had a checkpoint of does not begin again', async (version) => {
  const { world, run } = await takeUp(readRecording(version, 'training'))
  expect(run?.attempts).toHaveLength(2)
  const steps = world.events.filter(({ kind }) => kind === 'step').map(({ data }) => data?.step)
  expect(steps[0]).toBe(5)
})

test.each(versions)(
  'a model that %s had shipped is registered as it is, and not trained again',
  async (version) => {
    const recorded = readRecording(version, 'shipped')
    const { world, run } = await takeUp(recorded)
    expect(run?.attempts).toHaveLength(recorded.run.attempts.length)
    expect(world.machines.made()).toEqual([])
    const [model] = world.models.all()
    const manifest = recorded.objects.find(({ key }) => key.endsWith('manifest.json'))
    const shipped = JSON.parse(Buffer.from(String(manifest?.body), 'base64').toString())
    expect(model?.modelFileUrl).toBe(shipped.models[0].url)
  },
)

test.each(versions)('a run that %s ended is left as it is', async (version) => {
  const recorded = readRecording(version, 'ended')
  const { world, run, document, points } = await takeUp(recorded)
  expect(document).toEqual(recorded.training)
  expect(run).toMatchObject({ outcome: recorded.run.outcome, endedAt: recorded.run.endedAt })
  expect(points).toEqual([{ key: points[0]?.key, points: -1000 }])
  expect(world.machines.made()).toEqual([])
  expect(world.events).toEqual([])
})

const foreign: Readonly<Record<string, (plan: Plan) => unknown>> = {
  'of a version to come': (plan) => ({ ...plan, version: 2 }),
  'with an unknown field': (plan) => ({ ...plan, noise: 'pink' }),
  'of before there were clips': ({ clipFrames: _, dataset: { clips: __, ...dataset }, ...plan }) => ({
    ...plan,
    dataset,
  }),
  'that is no plan': () => 'the best you can',
}

test.each(Object.keys(foreign))(
  'a plan %s ends its job with everything returned, and orders no machine',
  async (kind) => {
    for (const moment of ['planned', 'charged', 'training'] as const) {
      const recorded = readRecording(versions[0] ?? '', moment)
      const plan = foreign[kind]?.(recorded.run.plan as Plan) as Plan
      const { world, id, run, document, points } = await takeUp({
        ...recorded,
        run: { ...recorded.run, plan },
      })
      expect(run?.outcome?.ending).toBe('foreign-plan')
      expect(document).toMatchObject({ status: 'FAILED' })
      const sentence =
        'This training was begun by another version of the service, and can’t be continued. Please start it again.'
      const aboutPoints =
        moment === 'planned' ? 'You have not been charged.' : 'Your points have been returned.'
      expect(document?.failureReason).toBe(`${sentence} ${aboutPoints}`)
      expect(points.map(({ points }) => points)).toEqual(moment === 'planned' ? [] : [-1000, 1000])
      expect(world.machines.made()).toEqual([])
      expect(await brokenPromises(world, [id])).toEqual([])
    }
  },
)

test('a plan without its trainer’s image ends its job too, with everything returned', async () => {
  const { image: _, ...run } = readRecording(versions[0] ?? '', 'charged').run
  const { run: ended, points } = await takeUp({ ...readRecording(versions[0] ?? '', 'charged'), run })
  expect(ended?.outcome?.ending).toBe('foreign-plan')
  expect(points.map(({ points }) => points)).toEqual([-1000, 1000])
})
