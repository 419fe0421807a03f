/**
 * Crash everywhere: the workflow is run once to count its calls of the world; then once for each call and each
 * side of it, with the worker dying there and another taking over. A step that is added adds its points.
 */
import { expect, test } from 'vitest'
import { countsOf, measured } from './figures.ts'
import { allEnded, insertJob } from './jobs.ts'
import { brokenPromises } from './promises.ts'
import { type Call, createWorld } from './world.ts'

const hour = 3_600_000

type Side = 'before' | 'after'

async function runWithCrash(at: number, side: Side) {
  const world = createWorld()
  await world.install()
  const id = await insertJob(world)
  const crash = (call: Call) => {
    if (call.index !== at || !first.isAlive()) return
    first.kill()
    where = `${side} ${call.port}.${call.verb}`
    world.startWorker('second')
  }
  let where = ''
  const first = world.startWorker('first', { [side]: crash })
  await world.clock.runUntil(() => allEnded(world, [id]), 4 * hour)
  return { world, id, where, calls: first.calls() }
}

test('a worker may die before or after each of its calls: another goes on, and every promise is kept', async ({
  task,
}) => {
  const { calls } = await runWithCrash(-1, 'before')
  const broken: string[] = []
  const points = new Set<string>()
  let crashes = 0
  let survived = 0
  let restarts = 0
  for (let at = 0; at < calls; at++) {
    for (const side of ['before', 'after'] as const) {
      const { world, id, where } = await runWithCrash(at, side)
      if (!where) continue
      crashes++
      points.add(where)
      if (world.machines.made().length > 1) restarts++
      const status = world.trainings.document(id)?.status
      const sentences = await brokenPromises(world, [id])
      if (status !== 'COMPLETED') sentences.push(String(status))
      if (sentences.length === 0) survived++
      broken.push(...sentences.map((sentence) => `${where} (call ${at}): ${sentence}`))
    }
  }
  measured(task, { crashPoints: crashes, crashesSurvived: survived, ...countsOf(broken) })
  console.log(`crash points: ${crashes} (${points.size} different), trainings begun anew: ${restarts}`)
  expect(broken).toEqual([])
  expect(restarts).toBe(0)
  expect(crashes).toBeGreaterThan(150)
}, 300_000)
