/** What runs beside a training: it hears the machine whatever its connection does, and judges only what it has seen. */
import { expect, test } from 'vitest'
import type { Offering } from '../../src/recipes/offerings.ts'
import type { SimulatedMachine, TrainerScript } from '../fakes/simulated-machine.ts'
import { goodTrainer } from './good-trainer.ts'
import { allEnded, insertJob } from './jobs.ts'
import { brokenPromises } from './promises.ts'
import { settings } from './settings.ts'
import { createWorld, type Interference, type World, type WorldOptions } from './world.ts'

const hour = 3_600_000
const checkpointEvery = 10

type Story = {
  readonly steps?: number
  readonly options?: WorldOptions
  readonly interference?: Interference
  /** Called with each new machine as soon as its trainer is there. */
  readonly onMachine?: (machine: SimulatedMachine, number: number, world: World) => void | Promise<void>
}

/** A training with a GPU whose steps take 10 s each, told by what became of it. */
async function trained({ steps = 60, options = {}, interference = {}, onMachine }: Story) {
  const overrides = { steps, checkpointEvery }
  const offering = { ...settings.offerings['sdxl-lora'], overrides } as Offering
  const world = createWorld({
    turnMs: () => 10_000,
    ...options,
    settings: {
      gpu: true,
      capFactor: 50,
      offerings: { 'sdxl-lora': offering },
      ...options.settings,
    },
  })
  await world.install()
  const id = await insertJob(world)
  const seen: SimulatedMachine[] = []
  world.startWorker('worker', {
    ...interference,
    async after(call) {
      await interference.after?.(call)
      if (call.port !== 'host' || call.verb !== 'startTrainer') return
      const name = (await world.runs.read(id))?.attempts.at(-1)?.name ?? ''
      const machine = world.inside(name)
      if (!machine || seen.includes(machine)) return
      seen.push(machine)
      void onMachine?.(machine, seen.length, world)
    },
  })
  await world.clock.runUntil(() => allEnded(world, [id]), 24 * hour)
  expect(await brokenPromises(world, [id])).toEqual([])
  const timeline = await world.timeline.read(id)
  const trainers = seen.flatMap(({ trainers: each }) => [...each.values()])
  return {
    world,
    id,
    timeline,
    run: await world.runs.read(id),
    document: world.trainings.document(id),
    warnings: timeline.filter(({ kind }) => kind === 'warning').map(({ message }) => message),
    images: trainers.map(({ container }) => container.image),
    /** Steps that each machine trained, as its trainer said them. */
    stepsOf: trainers.map(({ lines }) =>
      lines.map((line) => JSON.parse(line)).flatMap(({ type, step }) => (type === 'step' ? [step] : [])),
    ),
  }
}

async function atStep(machine: SimulatedMachine, step: number, world: World): Promise<void> {
  const lines = () => [...machine.trainers.values()].flatMap(({ lines: each }) => each)
  while (!lines().some((line) => line.includes(`"step":${step},`))) await world.clock.sleep(1000)
}

const spot = (world: World) => ({ kind: 'spot', action: 'terminate', at: world.clock.now() }) as const

test('a spot notice after a dropped connection is heard, and costs at most the steps between checkpoints', async () => {
  const job = await trained({
    async onMachine(machine, number, world) {
      if (number > 1) return
      await atStep(machine, 25, world)
      machine.dropConnections()
      await atStep(machine, 37, world)
      machine.notice(spot(world))
    },
  })
  expect(job.document?.status).toBe('COMPLETED')
  expect(job.run?.attempts[0]?.failure?.detail).toContain('a spot notice')
  const [first = [], second = []] = job.stepsOf
  expect((first.at(-1) ?? 0) - (second[0] ?? 0) + 1).toBeLessThanOrEqual(checkpointEvery)
  expect(job.warnings.filter((message) => message.startsWith('the watch over the machine'))).toHaveLength(1)
})

test.each<[string, (machine: SimulatedMachine, world: World) => void | Promise<void>]>([
  ['whose first watch fails', (machine) => machine.failNext('watch', new Error('no channel'))],
  [
    'whose connection drops',
    async (machine, world) => {
      await atStep(machine, 5, world)
      machine.dropConnections()
    },
  ],
  [
    'whose GPU can’t be read',
    (machine) => {
      machine.gpuLoad = 'unreadable'
    },
  ],
  [
    'whose GPU can’t be read any more',
    async (machine, world) => {
      machine.gpuLoad = 0
      await atStep(machine, 5, world)
      machine.gpuLoad = 'unreadable'
    },
  ],
])(
  'a healthy training on a machine %s is not taken for an idle one, and the trouble is told once',
  async (_, trouble) => {
    const job = await trained({ onMachine: (machine, __, world) => trouble(machine, world) })
    expect(job.document?.status).toBe('COMPLETED')
    expect(job.stepsOf).toHaveLength(1)
    expect(job.warnings).toHaveLength(1)
    expect(job.warnings[0]).toMatch(/^the watch over the machine .* failed|^the machine can't read its gpu/)
  },
)

test('a GPU that idles as long as the first step may take ends the training, whatever its trainer says', async () => {
  const job = await trained({
    async onMachine(machine, number, world) {
      if (number > 1) return
      await atStep(machine, 5, world)
      machine.gpuLoad = 0
    },
  })
  expect(job.run?.attempts[0]?.failure).toMatchObject({
    reason: 'trainer-hung',
    detail: 'the GPU was idle for 5 min',
  })
  expect(job.stepsOf[0]?.at(-1)).toBeLessThan(40)
  expect(job.document?.status).toBe('COMPLETED')
})

test('a training whose log never ends is used, not done again', async () => {
  const job = await trained({
    onMachine(machine) {
      machine.logsNeverEnd = true
    },
  })
  expect(job.document?.status).toBe('COMPLETED')
  expect(job.stepsOf).toHaveLength(1)
})

test('a trainer on a machine that answers nothing any more is given up soon after its stall limit', async () => {
  let frozenAt = 0
  const job = await trained({
    async onMachine(machine, number, world) {
      if (number > 1) return
      await atStep(machine, 25, world)
      machine.freeze()
      frozenAt = world.clock.now().getTime()
    },
  })
  const [first, second] = job.run?.attempts ?? []
  expect(first?.failure?.reason).toBe('trainer-hung')
  const { stall, stopping } = settings.limits
  const minute = 60_000
  expect((second?.orderedAt.getTime() ?? 0) - frozenAt).toBeLessThan(stall + 2 * stopping + 6 * minute)
  expect(job.document?.status).toBe('COMPLETED')
})

test('a cloud that can’t be asked about the machine is a warning, once, and no end', async () => {
  const job = await trained({
    options: {
      moment({ verb }) {
        if (verb === 'state') throw new Error('RequestLimitExceeded')
      },
    },
  })
  expect(job.document?.status).toBe('COMPLETED')
  expect(job.warnings).toEqual([
    expect.stringMatching(/^the cloud doesn't say whether .* still runs \(RequestLimitExceeded\)/),
  ])
})

test('every machine of a job runs the image that the first one got, wherever its tag leads by then', async () => {
  const job = await trained({
    async onMachine(machine, number, world) {
      if (number > 1) return
      await atStep(machine, 12, world)
      machine.notice(spot(world))
    },
  })
  expect(job.images).toHaveLength(2)
  expect(job.images[0]).toMatch(/^trainer@sha256:[0-9a-f]{64}$/)
  expect(job.images[1]).toBe(job.images[0])
  const manifest = await job.world.store.read({ bucket: 'work', key: await manifestOf(job.world) })
  expect(`trainer@${JSON.parse(manifest.toString()).imageDigest}`).toBe(job.images[0])
})

async function manifestOf(world: World): Promise<string> {
  const found = await world.store.list('work', 'manifests/')
  return found[0]?.key ?? ''
}

const chatty = (warnings: (number: number) => string, count: number): TrainerScript =>
  function* (view) {
    const good = goodTrainer(view)
    yield good.next().value
    for (let number = 1; number <= count; number++)
      yield { line: JSON.stringify({ type: 'warning', message: warnings(number) }) }
    yield* { [Symbol.iterator]: () => good }
  }

test('of 20,000 warnings ninety are told and the rest is counted, in as many writes', async () => {
  let writes = 0
  const job = await trained({
    options: { turnMs: () => 1, trainer: () => chatty((number) => `warning ${number}`, 20_000) },
    interference: {
      after({ port, verb }) {
        if (port === 'runs' && verb === 'change') writes++
      },
    },
  })
  expect(job.document?.status).toBe('COMPLETED')
  expect(job.warnings).toHaveLength(91)
  expect(job.warnings.at(-1)).toBe('19910 more warnings were left out')
  expect(writes).toBeLessThan(250)
})

test('a warning that is said again and again, or to the next worker, is told once', async () => {
  const world = createWorld({ trainer: () => chatty(() => 'images are small', 300) })
  await world.install()
  const id = await insertJob(world)
  const first = world.startWorker('first', {
    after({ port, verb }) {
      if (port !== 'timeline' || verb !== 'append') return
      if (world.events.some(({ kind }) => kind === 'step')) first.kill()
    },
  })
  world.startWorker('second')
  await world.clock.runUntil(() => allEnded(world, [id]), hour)
  expect(await brokenPromises(world, [id])).toEqual([])
  const warnings = (await world.timeline.read(id)).filter(({ kind }) => kind === 'warning')
  expect(warnings.map(({ message }) => message)).toEqual(['images are small'])
})
