import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { manifestRef, parseManifest } from '../../src/models/manifest.ts'
import type { Offering } from '../../src/recipes/offerings.ts'
import type { TrainerScript } from '../fakes/simulated-machine.ts'
import { goodTrainer } from './good-trainer.ts'
import { allEnded, insertJob } from './jobs.ts'
import { brokenPromises } from './promises.ts'
import { offers, settings } from './settings.ts'
import { createWorld } from './world.ts'

const hour = 3_600_000

test.each([
  ['without a GPU', false],
  ['with one', true],
])('a queued document becomes a model on a machine %s, and nothing is left', async (_, gpu) => {
  const world = createWorld({ settings: { gpu } })
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

test('a job trains in the image that it names, where its offering allows that, and the manifest says so', async () => {
  const offering = { ...settings.offerings['sdxl-lora'], jobImages: ['registry.example/lab/'] } as Offering
  const world = createWorld({ settings: { offerings: { 'sdxl-lora': offering } } })
  await world.install()
  const own = await insertJob(world, { trainerImage: 'registry.example/lab/sdxl:3' })
  const usual = await insertJob(world)
  world.startWorker('worker')
  await world.clock.runUntil(() => allEnded(world, [own, usual]), hour)
  expect(await brokenPromises(world, [own, usual])).toEqual([])
  const imageOf = async (id: string) => {
    const manifest = await world.store.read(manifestRef(id))
    return parseManifest(manifest.toString()).image
  }
  expect(await imageOf(own)).toBe('registry.example/lab/sdxl:3')
  expect(await imageOf(usual)).toBe('trainer')
})

test('the trainer finds the list of its weights, as sha256sum prints it, under the sum in its plan', async () => {
  let staged: ReadonlyMap<string, Buffer> = new Map()
  const world = createWorld({
    trainer: () => (view) => {
      staged = new Map(view.files)
      return goodTrainer(view)
    },
  })
  await world.install()
  const id = await insertJob(world)
  world.startWorker('worker')
  await world.clock.runUntil(() => allEnded(world, [id]), hour)
  const list = staged.get('base.sha256sums')?.toString() ?? ''
  expect(list).toMatch(/^[0-9a-f]{64} {2}unet\/model\.safetensors\n$/)
  expect(sha256(list)).toBe((await world.runs.read(id))?.plan?.baseModel.sha256)
  expect(list.slice(0, 64)).toBe(sha256(staged.get('base/unet/model.safetensors') ?? ''))
})

test('weights that were replaced since the job was planned are not staged', async () => {
  const world = createWorld()
  await world.install()
  const id = await insertJob(world)
  const worker = world.startWorker('worker', {
    async after({ port, verb }) {
      if (port === 'ledger' && verb === 'charge') await world.install('other weights')
    },
  })
  await world.clock.runUntil(() => allEnded(world, [id]), hour)
  expect(worker.isAlive()).toBe(true)
  expect(await brokenPromises(world, [id])).toEqual([])
  expect((await world.runs.read(id))?.outcome).toMatchObject({ ending: 'unknown-model', refundPoints: 1000 })
  expect(world.trainings.document(id)?.failureReason).toContain(
    'has been replaced since this job was planned',
  )
})

test('after a slow run the next has more time and money than after a quick one, by the recipe’s estimate', async () => {
  const [slow, quick] = [await twoRuns(50_000), await twoRuns(100)]
  expect(slow.first).toEqual(quick.first)
  expect(slow.next.seconds).toBeGreaterThan(quick.next.seconds * 1.1)
  expect(slow.next.capUsd).toBeGreaterThan(quick.next.capUsd * 1.1)
  expect(slow.next.estimate).toEqual(slow.first.estimate)
})

/** As good as the other, with a file for each expert. */
const twoExperts: TrainerScript = function* (view) {
  for (const act of { [Symbol.iterator]: () => goodTrainer(view) }) {
    if (typeof act === 'string' || !('write' in act)) {
      yield act
    } else if (act.write.endsWith('.safetensors')) {
      for (const expert of ['-high-noise', '-low-noise'])
        yield { ...act, write: act.write.replace('.safetensors', `${expert}.safetensors`) }
    } else if (act.write === 'out/result.json') {
      const result = JSON.parse(String(act.content))
      const stem = result.files[0].name.replace('.safetensors', '')
      const files = ['-high-noise', '-low-noise'].map((expert) => ({ name: `${stem}${expert}.safetensors` }))
      yield { ...act, content: JSON.stringify({ ...result, files }) }
    } else yield act
  }
}

test('a model of two files is published with both, and its manifest names them', async () => {
  const world = createWorld({ trainer: () => twoExperts })
  await world.install()
  const id = await insertJob(world)
  world.startWorker('worker')
  await world.clock.runUntil(() => allEnded(world, [id]), 12 * hour)
  expect(await brokenPromises(world, [id])).toEqual([])
  expect((await world.timeline.read(id)).map(({ message }) => message)).toContain('2 files published')
  const { models } = parseManifest((await world.store.read(manifestRef(id))).toString())
  expect(models.map(({ name }) => name)).toEqual([
    expect.stringMatching(/^red-kites-[0-9a-f]{6}-high-noise\.safetensors$/),
    expect.stringMatching(/^red-kites-[0-9a-f]{6}-low-noise\.safetensors$/),
  ])
})

test.each([
  ['of 1.3 B goes on the smallest machine', { transformer: 1.42e9 }, 'L4'],
  ['with two experts of 14 B goes on a larger one', { transformer: 14.3e9, transformer_2: 14.3e9 }, 'L40S'],
])('a WAN base %s', async (_, parameters, gpu) => {
  const overrides = { steps: 12, checkpointEvery: 4 }
  const offering = { family: 'WAN', base: 'tiny', pricePoints: 1000, overrides } as const
  const world = createWorld({ settings: { offerings: { 'wan-lora': offering } } })
  await world.install()
  const list = { bucket: 'bases', key: 'tiny/base.json' } as const
  const base = JSON.parse((await world.store.read(list)).toString())
  await world.store.write(list, JSON.stringify({ ...base, family: 'WAN', parameters }), 'application/json')
  const id = await insertJob(world, { offeringId: 'wan-lora', baseModel: 'WAN' })
  world.startWorker('worker')
  await world.clock.runUntil(() => allEnded(world, [id]), 12 * hour)
  expect(await brokenPromises(world, [id])).toEqual([])
  const run = await world.runs.read(id)
  expect(run?.outcome?.ending).toBe('trained')
  expect(run?.base).toEqual({ bytes: 7, trained: Object.values(parameters) })
  expect(run?.attempts.map(({ offer }) => offer.gpu)).toEqual([gpu])
})

/** Two jobs, one after the other; a step takes as long as is said. */
async function twoRuns(stepMs: number) {
  let turnMs = 100
  const world = createWorld({
    turnMs: () => turnMs,
    offers: offers.slice(0, 1),
    trainer: () =>
      function* (view) {
        turnMs = stepMs
        yield* { [Symbol.iterator]: () => goodTrainer(view) }
        turnMs = 100
      },
  })
  await world.install()
  world.startWorker('worker')
  const ids: string[] = []
  async function given() {
    ids.push(await insertJob(world))
    await world.clock.runUntil(() => allEnded(world, ids), 12 * hour)
    expect(await brokenPromises(world, ids)).toEqual([])
    const run = await world.runs.read(ids.at(-1) ?? '')
    expect(run?.outcome?.ending).toBe('trained')
    expect(run?.attempts).toHaveLength(1)
    const { lifetimeSeconds, estimate } = run?.attempts[0] ?? {}
    return { seconds: lifetimeSeconds ?? 0, capUsd: run?.capUsd ?? 0, estimate }
  }
  return { first: await given(), next: await given() }
}

function sha256(content: Buffer | string): string {
  return createHash('sha256').update(content).digest('hex')
}
