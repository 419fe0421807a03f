import { expect, test } from 'vitest'
import { allEnded, insertJob } from './jobs.ts'
import { brokenPromises } from './promises.ts'
import { createWorld } from './world.ts'

const hour = 3_600_000

test('a queued document becomes a model, and nothing is left', async () => {
  const world = createWorld()
  await world.install()
  const id = await insertJob(world)
  world.startWorker('worker-1')
  await world.clock
    .runUntil(() => allEnded(world, [id]), hour)
    .catch((error) => {
      throw new Error(
        `${error.message}: ${JSON.stringify(world.errors.map(({ error }) => String((error as Error).stack)))}`,
      )
    })
  expect(await brokenPromises(world, [id])).toEqual([])
  expect(world.trainings.document(id)).toMatchObject({ status: 'COMPLETED', progress: 100 })
  const phases = (await world.timeline.read(id))
    .filter(({ kind }) => kind === 'phase')
    .map(({ data }) => data?.phase)
  expect(phases).toEqual([
    'claimed',
    'charged',
    'provisioned',
    'staged',
    'trained',
    'shipped',
    'registered',
    'credited',
    'torn down',
  ])
})
