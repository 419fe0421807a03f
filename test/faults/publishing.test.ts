/** What is public, when, and at which address. */
import { expect, test } from 'vitest'
import { manifestRef, parseManifest } from '../../src/models/manifest.ts'
import { planSchema } from '../../src/recipes/plan.ts'
import type { ObjectRef } from '../../src/storage/store.ts'
import type { TrainerAct, TrainerScript } from '../fakes/simulated-machine.ts'
import { goodTrainer } from './good-trainer.ts'
import { allEnded, insertJob } from './jobs.ts'
import { brokenPromises } from './promises.ts'
import { createWorld, type World, type WorldOptions } from './world.ts'

const hour = 3_600_000

async function trained(options: WorldOptions = {}): Promise<{ world: World; id: string }> {
  const world = createWorld(options)
  await world.install()
  const id = await insertJob(world)
  world.startWorker('worker')
  await world.clock.runUntil(() => allEnded(world, [id]), hour)
  return { world, id }
}

const manifestOf = async (world: World, id: string) =>
  parseManifest((await world.store.read(manifestRef(id))).toString())
const keysOf = async (world: World, bucket: ObjectRef['bucket']) =>
  (await world.store.list(bucket, '')).map(({ key }) => key)

test('every public key has a part that can’t be guessed, and the manifest with the prompts is not public', async () => {
  const [first, second] = [await trained(), await trained()]
  const folders = await Promise.all(
    [first, second].map(async ({ world, id }) => {
      const keys = await keysOf(world, 'models')
      expect(keys).toHaveLength(2)
      for (const key of keys) expect(key).toMatch(new RegExp(`^loras/${id}/[0-9a-f]{32}/1/`))
      expect(keys.sort()).toEqual(
        (await manifestOf(world, id)).models
          .concat((await manifestOf(world, id)).samples)
          .map(({ key }) => key)
          .sort(),
      )
      expect(await keysOf(world, 'work')).toEqual([`manifests/${id}.json`])
      return keys[0]?.split('/')[2]
    }),
  )
  expect(folders[0]).not.toBe(folders[1])
})

test('nothing is public before the gate has seen every file', async () => {
  const publicThen: string[] = []
  let store: World['store'] | undefined
  const world = createWorld({
    async checkArtifact(file) {
      expect(file.bucket).toBe('work')
      expect((await store?.read(file))?.toString()).toMatch(/^lora of /)
      const listed = await store?.list('models', '')
      publicThen.push(...(listed ?? []).map(({ key }) => key))
    },
  })
  store = world.store
  await world.install()
  const id = await insertJob(world)
  world.startWorker('worker')
  await world.clock.runUntil(() => allEnded(world, [id]), hour)
  expect(await brokenPromises(world, [id])).toEqual([])
  expect(publicThen).toEqual([])
  expect(await keysOf(world, 'models')).toHaveLength(2)
})

test('a worker that dies while it publishes leaves the folder known, and the next one uses the same', async () => {
  const world = createWorld()
  await world.install()
  const id = await insertJob(world)
  const first = world.startWorker('worker-1', {
    before({ port, verb }) {
      if (port === 'store' && verb === 'writeOnce') first.kill()
    },
  })
  await world.clock.runUntil(() => !first.isAlive(), hour)
  const before = await keysOf(world, 'models')
  expect(before).toHaveLength(2)
  expect(before[0]).toContain((await world.runs.read(id))?.publicFolder ?? 'none')
  world.startWorker('worker-2')
  await world.clock.runUntil(() => allEnded(world, [id]), hour)
  expect(await brokenPromises(world, [id])).toEqual([])
  expect(await keysOf(world, 'models')).toEqual(before)
})

test.each(['copy', 'writeOnce'])(
  'a worker that froze before its %s and returns late leaves one manifest, and what it lists is there',
  async (verb) => {
    const world = createWorld({
      trainer: (attempt) =>
        function* (view) {
          for (const said of goodTrainer(view) as Generator<TrainerAct>) {
            const isLora = typeof said === 'object' && 'write' in said && said.write.endsWith('.safetensors')
            yield isLora ? { ...said, content: `lora of ${attempt}` } : said
          }
        },
    })
    await world.install()
    const id = await insertJob(world)
    let standing = 0
    const stillUntil = Promise.withResolvers<void>()
    world.startWorker('worker-1', {
      async before(call) {
        // Nothing more comes of it until the other is done, heartbeats included.
        if (standing > 0 || (call.port === 'store' && call.verb === verb)) {
          standing++
          await stillUntil.promise
        }
      },
    })
    await world.clock.runUntil(() => standing > 0, hour)
    for (const { name, running } of world.machines.made()) if (running) world.machines.lose(name)
    world.startWorker('worker-2')
    await world.clock.runUntil(() => allEnded(world, [id]), hour)
    stillUntil.resolve()
    const later = world.clock.elapsed + 10 * 60_000
    await world.clock.runUntil(() => world.clock.elapsed >= later, hour)

    expect(await brokenPromises(world, [id])).toEqual([])
    const { models } = await manifestOf(world, id)
    const registered = world.models.all().map(({ modelFileUrl }) => modelFileUrl)
    expect(registered).toEqual(models.map(({ url }) => url))
    for (const { key } of models) {
      expect((await world.store.read({ bucket: 'models', key })).toString()).toBe(`lora of bellows-${id}-2`)
    }
  },
)

test("a trainer's image can't have other files published than the plan's", async () => {
  const { world, id } = await trained({
    trainer: () =>
      function* (view) {
        const plan = planSchema.parse(JSON.parse(view.files.get('plan.json')?.toString() ?? ''))
        for (const said of goodTrainer(view) as Generator<TrainerAct>) {
          if (typeof said === 'object' && 'write' in said && said.write === 'out/result.json') {
            const files = [{ name: `${plan.name}.safetensors` }, { name: 'popular-model.safetensors' }]
            yield { write: 'out/popular-model.safetensors', content: 'x' }
            yield { ...said, content: JSON.stringify({ ...JSON.parse(String(said.content)), files }) }
          } else yield said
        }
      } satisfies TrainerScript,
  })
  expect((await world.runs.read(id))?.outcome?.ending).toBe('bad-artifact')
  expect(await keysOf(world, 'models')).toEqual([])
})

test('of a hundred samples the newest 64 are published, with a warning', async () => {
  const { world, id } = await trained({
    trainer: () =>
      function* (view) {
        for (let number = 1; number <= 99; number++)
          yield { write: `out/samples/${number}-1.png`, content: 'picture' }
        yield* goodTrainer(view) as Generator<TrainerAct>
      } satisfies TrainerScript,
  })
  const { samples } = await manifestOf(world, id)
  expect(samples).toHaveLength(64)
  const warnings = (await world.timeline.read(id)).filter(({ kind }) => kind === 'warning')
  expect(warnings.map(({ message }) => message)).toEqual([
    '36 samples were left out: at most 64 are published, of at most 32 MiB each, and none that is empty',
  ])
})
