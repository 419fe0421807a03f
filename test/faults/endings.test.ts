/** Each ending of a job, by a staged fault: what its owner reads, what an operator finds, and what it cost. */
import { describe, expect, test } from 'vitest'
import { Failure } from '../../src/failure.ts'
import type { Offering } from '../../src/recipes/offerings.ts'
import type { TimelineEvent } from '../../src/trainings/timeline.ts'
import type { TrainerScript } from '../fakes/simulated-machine.ts'
import { goodTrainer } from './good-trainer.ts'
import { allEnded, insertJob } from './jobs.ts'
import { brokenPromises } from './promises.ts'
import { offers, settings } from './settings.ts'
import { createWorld, type World, type WorldOptions } from './world.ts'

const minute = 60_000
const hour = 60 * minute

type Story = {
  readonly options?: WorldOptions
  /** Happens beside the job. */
  readonly fault?: (world: World, id: string) => Promise<void>
  /** Left over on purpose. */
  readonly unless?: RegExp
}

async function runJob({ options, fault, unless }: Story) {
  const world = createWorld(options)
  await world.install()
  const id = await insertJob(world)
  world.startWorker('worker')
  void fault?.(world, id)
  await world.clock.runUntil(() => allEnded(world, [id]), 12 * hour)
  const broken = await brokenPromises(world, [id])
  expect(broken.filter((sentence) => !unless?.test(sentence))).toEqual([])
  const run = await world.runs.read(id)
  const events = await world.timeline.read(id)
  return {
    world,
    id,
    run,
    document: world.trainings.document(id),
    machines: world.machines.made().length,
    failures: events.filter(({ kind }) => kind === 'failure'),
    balance: await world.ledger.movements(id).then((all) => all.reduce((sum, { points }) => sum + points, 0)),
  }
}

/** Trains, then does what is staged. */
const after = (steps: number, acts: ReturnType<TrainerScript>): TrainerScript =>
  function* (view) {
    const good = goodTrainer(view)
    for (let seen = 0; seen < steps; ) {
      const { value } = good.next()
      yield value
      if ('line' in value && value.line.includes('"step",')) seen++
    }
    yield* { [Symbol.iterator]: () => acts }
  }

const acts = (...list: ReturnType<TrainerScript> extends Iterator<infer Act> ? Act[] : never) =>
  list[Symbol.iterator]()

const exits =
  (code: number, said?: string, outOfMemory = false) =>
  () =>
    after(
      5,
      acts(
        ...(said ? [{ line: JSON.stringify({ type: 'error', message: said }) }] : []),
        { stderr: 'the last words of the trainer' },
        { exit: code, outOfMemory },
      ),
    )

/** What an operator must find in every report. */
function expectReport({ data }: TimelineEvent, reason: string, step: string): void {
  expect(data).toMatchObject({
    reason,
    step,
    attempt: expect.any(Number),
    machine: expect.stringMatching(/^i-|not made yet$/),
    offer: { type: expect.any(String), zone: expect.any(String), usdPerHour: expect.any(Number) },
    costUsd: expect.any(Number),
  })
}

/** Endings that a job's own overrides or image can cause: what its machine cost is kept. */
const keepsCost = new Set(['trainer-refused', 'trainer-diverged', 'out-of-memory'])

test.each<[string, ReturnType<typeof exits>, string, RegExp, number]>([
  ['crashes', exits(1), 'trainer-crashed', /^The trainer crashed \(container exited with 1\)\. /, 2],
  [
    'says that the input is at fault',
    exits(64, 'all images are black'),
    'trainer-refused',
    /^The training was refused: all images are black\. /,
    1,
  ],
  [
    'diverges',
    exits(65, 'the loss is no number at step 5'),
    'trainer-diverged',
    /^The training diverged \(the loss is no number at step 5\)\. A lower learning rate usually helps\. /,
    1,
  ],
  [
    'has too little GPU memory',
    exits(66),
    'out-of-memory',
    /ran out of memory \(container exited with 66; no larger GPU than an L4 costs as little as this training may\)/,
    1,
  ],
  ['fills the disk', exits(67), 'disk-full', /^The machine's disk was full/, 2],
  [
    'is killed for its memory',
    exits(137, undefined, true),
    'out-of-memory',
    /^The training ran out of memory \(the container was killed for its memory; no larger .+\)\. A lower resolution/,
    1,
  ],
  ['is killed otherwise', exits(137), 'trainer-crashed', /container exited with 137/, 2],
])('a trainer that %s ends the job as it should', async (_, trainer, reason, sentence, machines) => {
  const job = await runJob({ options: { trainer } })
  expect(job.run?.outcome?.ending).toBe(reason)
  expect(job.document?.failureReason).toMatch(sentence)
  const kept = keepsCost.has(reason)
  expect(job.document?.failureReason).toMatch(
    kept ? / 99\d of 1000 points have been returned; the rest/ : / Your points have been returned\.$/,
  )
  expect(job.machines).toBe(machines)
  if (kept) expect(job.balance).toBeLessThan(0)
  else expect(job.balance).toBe(0)
  for (const failure of job.failures) {
    expectReport(failure, reason, 'training')
    // That no larger GPU can be had says nothing new of the trainer.
    const isOfTheTrainer = reason !== 'out-of-memory' || failure === job.failures[0]
    if (isOfTheTrainer) expect(failure.data?.evidence).toContain('the last words of the trainer')
  }
})

test("a complaint with control characters, in another's voice, stays on one line", async () => {
  const trainer = exits(64, `black\u001b[2J\r\n${'x'.repeat(5000)}`)
  const { document } = await runJob({ options: { trainer } })
  expect(document?.failureReason).not.toMatch(/\p{Cc}/u)
  expect(String(document?.failureReason).length).toBeLessThan(700)
})

test('a trainer that prints only garbage and ends well has trained nothing', async () => {
  const garbage = () =>
    (() => acts({ line: '\u0000{"type":"step"' }, { line: '%%%' }, { exit: 0 })) as TrainerScript
  const job = await runJob({ options: { trainer: garbage } })
  expect(job.document?.failureReason).toMatch(/unusable \(the trainer ended without a result\)/)
  expect(job.balance).toBe(0)
  expect(job.world.models.all()).toEqual([])
})

test('a trainer that prints only garbage for ever is taken for hung, not for alive', async () => {
  const babble: TrainerScript = function* () {
    for (;;) yield { line: '{"type":"alive"}' }
  }
  const job = await runJob({ options: { trainer: () => babble } })
  expect(job.run?.outcome?.ending).toBe('trainer-hung')
})

test('a trainer that claims a result without the steps has trained nothing', async () => {
  const short: TrainerScript = function* (view) {
    for (const act of { [Symbol.iterator]: () => goodTrainer(view) }) {
      yield typeof act === 'object' && 'write' in act && act.write === 'out/result.json'
        ? { ...act, content: String(act.content).replace('"steps":12', '"steps":3') }
        : act
    }
  }
  const job = await runJob({ options: { trainer: () => short } })
  expect(job.document?.failureReason).toMatch(/unusable \(only 3 of 12 steps were trained\)/)
  expect(job.balance).toBe(0)
})

test('a file that ComfyUI could not use is not registered, and an operator is told', async () => {
  const job = await runJob({
    options: {
      async checkArtifact() {
        throw new Failure('bad-artifact', 'every value of its 24 layers is zero')
      },
    },
  })
  expect(job.document?.failureReason).toBe(
    'The trained model was unusable (every value of its 24 layers is zero). Your points have been returned.',
  )
  expect(job.world.models.all()).toEqual([])
  expect(job.world.alerts.said).toMatchObject([{ key: `job:${job.id}`, kind: 'happened' }])
  expect(await job.world.store.list('models', '')).toEqual([])
  const kept = await job.world.store.list('work', `refused/${job.id}/`)
  expect(kept.filter(({ key }) => key.endsWith('.safetensors'))).toHaveLength(1)
})

test('a trainer that falls silent is stopped within the stall limit, and gets one more machine', async () => {
  const job = await runJob({ options: { trainer: () => after(5, acts('hang')) } })
  const stops = job.world.events.filter(({ message }) => message.startsWith('stopping the trainer'))
  const silences = stops.map(({ at }) => {
    const step = job.world.events.findLast((each) => each.kind === 'step' && each.at < at)
    return at.getTime() - (step?.at.getTime() ?? 0)
  })
  expect(job.document?.failureReason).toBe(
    'The trainer stopped making progress (no sign of life for 2 min after step 9 of 12). Your points have been returned.',
  )
  expect(job.machines).toBe(2)
  const look = 100 // milliseconds that one thing on a machine takes: its container is looked at first
  expect(silences).toEqual([settings.limits.stall + look, settings.limits.stall + look])
  expectReport(job.failures[0] as TimelineEvent, 'trainer-hung', 'training')
  expect(job.failures[0]?.data?.evidence).toContain('last lines of the log')
})

/** Steps that were trained, machine by machine. */
function stepsByMachine(world: World): readonly number[][] {
  const steps: number[][] = []
  for (const { kind, data, message } of world.events) {
    if (kind === 'attempt' && /^attempt \d+: g/.test(message)) steps.push([])
    if (kind === 'step') steps.at(-1)?.push(Number(data?.step))
  }
  return steps
}

/** Waits until a job has trained so many steps. */
async function trained(world: World, steps: number): Promise<string> {
  while (!world.events.some(({ kind, data }) => kind === 'step' && Number(data?.step) >= steps))
    await world.clock.sleep(20)
  return world.machines.made().at(-1)?.name ?? ''
}

async function until(world: World, done: () => boolean): Promise<void> {
  while (!done()) await world.clock.sleep(20)
}

test('after a spot notice the next machine goes on where the first one stopped', async () => {
  const job = await runJob({
    async fault(world) {
      const name = await trained(world, 6)
      world.inside(name)?.notice({ kind: 'spot', action: 'terminate', at: world.clock.now() })
    },
  })
  expect(job.document?.status).toBe('COMPLETED')
  const [first = [], second = []] = stepsByMachine(job.world)
  expect(first.at(-1)).toBeGreaterThanOrEqual(6)
  expect(second[0]).toBe((first.at(-1) ?? 0) + 1) // not one step is lost
  expect(second.at(-1)).toBe(12)
  expectReport(job.failures[0] as TimelineEvent, 'machine-lost', 'training')
})

test('after a machine is lost without notice, at most the steps since its checkpoint are trained twice', async () => {
  const job = await runJob({
    async fault(world) {
      const name = await trained(world, 11)
      world.inside(name)?.lose()
      world.machines.lose(name)
    },
  })
  expect(job.document?.status).toBe('COMPLETED')
  const [first = [], second = []] = stepsByMachine(job.world)
  const lost = (first.at(-1) ?? 0) - (second[0] ?? 0) + 1
  expect(lost).toBeGreaterThan(0)
  expect(lost).toBeLessThanOrEqual(4)
  expect(second.at(-1)).toBe(12)
})

/** Happens to the newest machine: its connections freeze, as they do when the peer is gone without closing them. */
function loseSilently(world: World): Date {
  const name = world.machines.made().at(-1)?.name ?? ''
  world.inside(name)?.freeze()
  world.machines.lose(name)
  return world.clock.now()
}

test.each<[string, string, (world: World) => boolean]>([
  [
    'boots',
    'boot',
    (world) => world.inside(world.machines.made()[0]?.name ?? '')?.calls.has('connect') === true,
  ],
  ['is staged', 'pull', (world) => told(/^pulling/)(world)],
  ['trains', 'training', (world) => told(/^step 6 of/)(world)],
  ['ships', 'shipping', (world) => told(/^trained 12 of 12 steps/)(world)],
])(
  'a machine that is lost without a word while it %s is noticed within 20 s, by what the cloud says',
  async (_, step, reached) => {
    let lostAt = new Date(0)
    const job = await runJob({
      options: { turnMs: () => 1000 },
      async fault(world) {
        await until(world, () => reached(world))
        lostAt = loseSilently(world)
      },
    })
    expect(job.document?.status).toBe('COMPLETED')
    expect(job.machines).toBe(2)
    const [failure] = job.failures
    expectReport(failure as TimelineEvent, 'machine-lost', step)
    expect(failure?.message).toMatch(/i-\d+ is terminated \(Server\.SpotInstanceTermination: .*\)$/)
    expect((failure?.at.getTime() ?? 0) - lostAt.getTime()).toBeLessThanOrEqual(20_000)
  },
)

test('a cloud that does not answer proves nothing: the training goes on', async () => {
  const job = await runJob({
    options: {
      turnMs: () => 3000,
      moment({ verb }) {
        if (verb === 'state') throw new Error('RequestLimitExceeded')
      },
    },
  })
  expect(job.document?.status).toBe('COMPLETED')
  expect(job.machines).toBe(1)
})

test('a machine whose GPU breaks is left for one of another offer, with the checkpoint', async () => {
  const job = await runJob({
    async fault(world) {
      world
        .inside(await trained(world, 6))
        ?.notice({ kind: 'xid', code: 79, line: 'NVRM: Xid 79: off the bus' })
    },
  })
  expect(job.document?.status).toBe('COMPLETED')
  const [first, second] = job.run?.attempts ?? []
  expect(first?.failure).toMatchObject({ reason: 'machine-broken', detail: 'the GPU reported Xid 79' })
  expect(second?.offer.zone).not.toBe(first?.offer.zone)
  expect(job.failures[0]?.data?.evidence).toContain('Xid 79: off the bus')
})

test('three lost machines do not count against the first one that is broken', async () => {
  const job = await runJob({
    options: { settings: { capFactor: 50 } },
    async fault(world) {
      for (let lost = 0; lost < 3; lost++) {
        const name = await busy(world, lost)
        world.inside(name)?.lose()
        world.machines.lose(name)
      }
      world.inside(await busy(world, 3))?.notice({ kind: 'xid', code: 79, line: 'Xid 79' })
    },
  })
  expect(job.run?.attempts.map(({ failure }) => failure?.reason)).toEqual([
    ...['machine-lost', 'machine-lost', 'machine-lost', 'machine-broken', undefined],
  ])
  expect(job.document?.status).toBe('COMPLETED')
})

/** The name of that machine once a trainer is on it. */
async function busy(world: World, number: number): Promise<string> {
  for (;;) {
    await world.clock.sleep(200)
    const name = world.machines.made()[number]?.name
    if (name && world.inside(name)?.trainers.size) return name
  }
}

test('a machine lost too often ends the job after six', async () => {
  const job = await runJob({
    async fault(world, id) {
      while (!allEnded(world, [id])) {
        await world.clock.sleep(200)
        const machine = world.machines.made().findLast(({ running }) => running)
        if (!machine || !world.inside(machine.name)?.trainers.size) continue
        world.inside(machine.name)?.lose()
        world.machines.lose(machine.name)
      }
    },
  })
  expect(job.run?.outcome?.ending).toBe('machine-lost')
  expect(job.machines).toBe(6)
  expect(job.document?.failureReason).toMatch(/^The GPU machine was lost too often/)
  expect(job.balance).toBe(0)
})

test('where there is no capacity, the reason lists what was tried', async () => {
  const job = await runJob({
    options: {
      moment({ verb, point, offer }) {
        if (verb === 'order' && point === 'key-pair')
          throw new Failure('no-capacity', `no ${offer?.type} left`)
      },
    },
  })
  const { failureReason } = job.document ?? {}
  const evidence = job.failures.at(-1)?.data?.evidence
  expect(job.run?.outcome?.ending).toBe('no-capacity')
  for (const { type, gpu, zone, market } of offers.slice(0, 3))
    expect(evidence).toContain(`${type} (${gpu}) in ${zone}, ${market}`)
  expect(evidence).toMatch(
    /for any other machine about \$0\.42 would be needed, and \$0\.25 of \$0\.25 is left/,
  )
  expect(failureReason).toContain('none is free of g6.xlarge (on demand), g6.xlarge (spot)')
  expect(failureReason).toMatch(/Please try again later\. Your points have been returned\.$/)
  expect(job.machines).toBe(0)
  for (const failure of job.failures.slice(0, -1)) expectReport(failure, 'no-capacity', 'ordering')
})

test('a machine that never boots is given up by name, and another takes its place', async () => {
  const refuse = async (world: World) => {
    await until(world, () => world.machines.made().length === 1)
    const name = world.machines.made()[0]?.name ?? ''
    world.inside(name)?.failNext('connect', new Failure('step-overran', 'SSH did not answer'))
  }
  const job = await runJob({ fault: refuse })
  expect(job.document?.status).toBe('COMPLETED')
  expect(job.machines).toBe(2)
  expectReport(job.failures[0] as TimelineEvent, 'step-overran', 'boot')
  const name = job.run?.attempts[0]?.name ?? ''
  expect(job.failures[0]?.data?.evidence).toBe(`== console\n${name} has begun its first boot`)
})

test.each([
  ['pull', /^== what had come\n1 of 1 layers of trainer\n/],
  ['download', /^== what had come\n\d+\.\d MB of \d+\.\d MB\n/],
] as const)(
  'a machine whose %s takes for ever is given up, with what had come and the state of the machine',
  async (verb, came) => {
    const phase = verb === 'pull' ? 'pull' : 'staging'
    const world = createWorld()
    await world.install()
    const id = await insertJob(world)
    let hangs = true
    world.startWorker('worker', {
      async after({ port, verb: called }) {
        if (port !== 'host' || called !== verb || !hangs) return
        hangs = false
        await world.clock.sleep(hour)
      },
    })
    await world.clock.runUntil(() => allEnded(world, [id]), 2 * hour)
    expect(await brokenPromises(world, [id])).toEqual([])
    expect(world.trainings.document(id)?.status).toBe('COMPLETED')
    const failure = (await world.timeline.read(id)).find(({ kind }) => kind === 'failure')
    expectReport(failure as TimelineEvent, 'step-overran', phase)
    expect(failure?.message).toBe(`attempt 1 failed: ${phase} took longer than 5 min`)
    expect(failure?.data?.evidence).toMatch(came)
    expect(failure?.data?.evidence).toContain('== last lines of the log')
  },
)

test('a lost machine leaves its console output; the job does not wait for a cloud that keeps silent', async () => {
  const lost = (moment?: WorldOptions['moment']) =>
    runJob({
      options: { turnMs: () => 1000, ...(moment && { moment }) },
      async fault(world) {
        await trained(world, 6)
        loseSilently(world)
      },
    })
  const job = await lost()
  expect(job.failures[0]?.data?.evidence).toMatch(/^== console\n.* has begun its first boot$/)
  const silent = await lost(({ verb }) => (verb === 'console' ? new Promise(() => {}) : undefined))
  expect(silent.failures[0]?.data?.evidence).toBe('no evidence came within 30 s')
  expect(silent.document?.status).toBe('COMPLETED')
})

test('a job whose cap pays for no machine is refunded without one', async () => {
  const job = await runJob({ options: { settings: { maxJobUsd: 0.01 } } })
  expect(job.run?.outcome?.ending).toBe('over-budget')
  expect(job.document?.failureReason).toMatch(
    /^The training reached a cost limit: about \$0\.08 would be needed/,
  )
  expect(job.machines).toBe(0)
  expect(job.balance).toBe(0)
})

test.each(['day', 'month'] as const)(
  "a %s's budget that is used up lets jobs wait, uncharged, until it turns, and is told once",
  async (period) => {
    const budget = { dayUsd: 1, monthUsd: 1, [`${period === 'day' ? 'month' : 'day'}Usd`]: 100 }
    const turn = {
      day: 'the next day begins at 2026-11-03 00:00 UTC',
      month: 'the next month begins at 2026-12-01 00:00 UTC',
    }[period]
    const world = createWorld({ settings: { budget } })
    await world.install()
    await world.budget.reserve({ key: 'others', usd: 1 }, budget, world.clock.now())
    const ids = [await insertJob(world), await insertJob(world)]
    world.startWorker('worker')
    await world.clock.runUntil(() => world.clock.elapsed > hour, 2 * hour)
    for (const id of ids) {
      expect(world.trainings.document(id)).toMatchObject({ status: 'QUEUED' })
      expect((await world.runs.read(id))?.hold?.reason).toBe(
        `the budget for machines of this ${period} is used up; ${turn}`,
      )
      expect(await world.ledger.movements(id)).toEqual([])
    }
    expect(world.machines.made()).toEqual([])
    expect(world.trainings.slots()).toEqual([])
    expect(world.alerts.said.map(({ key }) => key)).toEqual([`budget:${period}:100`])
    if (period === 'month') return // it turns in four weeks
    await world.clock.runUntil(() => allEnded(world, ids), 24 * hour)
    for (const id of ids) expect(world.trainings.document(id)).toMatchObject({ status: 'COMPLETED' })
  },
)

/** Sets the document CANCELLED then; within 30 s of the next heartbeat its machine must be gone. */
async function cancelWhen(reached: (world: World) => boolean, options: WorldOptions = {}) {
  let cancelledAt = new Date(0)
  const job = await runJob({
    options,
    async fault(world, id) {
      await until(world, () => reached(world))
      world.trainings.set(id, { status: 'CANCELLED' })
      cancelledAt = world.clock.now()
    },
  })
  expect(job.document?.status).toBe('CANCELLED')
  expect(job.machines).toBe(1)
  for (const { tornDownAt } of job.run?.attempts ?? [])
    expect((tornDownAt?.getTime() ?? 0) - cancelledAt.getTime()).toBeLessThan(settings.heartbeatMs + 30_000)
  return job
}

const slow = { turnMs: () => 3000 }
const told = (text: string | RegExp) => (world: World) =>
  world.events.some(({ message }) => message.match(text))

test('a job that is cancelled in the queue costs nothing', async () => {
  const world = createWorld()
  const id = await insertJob(world, { status: 'CANCELLED' })
  world.startWorker('worker')
  await world.clock.runUntil(() => world.clock.elapsed > minute, 2 * minute)
  expect(await world.runs.read(id)).toBeUndefined()
  expect(await world.ledger.movements(id)).toEqual([])
})

test('a job that is cancelled while its dataset is prepared is never charged', async () => {
  const world = createWorld()
  await world.install()
  const id = await insertJob(world)
  world.startWorker('worker', {
    async before({ port }) {
      if (port === 'prepareDataset') await world.clock.sleep(20_000)
    },
  })
  void world.clock.sleep(3000).then(() => world.trainings.set(id, { status: 'CANCELLED' }))
  await world.clock.runUntil(() => allEnded(world, [id]), hour)
  expect(await brokenPromises(world, [id])).toEqual([])
  expect(await world.ledger.movements(id)).toEqual([])
  expect(world.machines.made()).toEqual([])
})

test('a job that is cancelled while its machine is ordered gets all points back but the machine’s cost', async () => {
  let begun = false
  const { promise: answered, resolve: answer } = Promise.withResolvers<void>()
  const job = await cancelWhen(
    (world) => {
      // the cloud answers twenty seconds after it was asked
      if (!begun && told(/^ordering/)(world)) {
        begun = true
        void world.clock.sleep(20_000).then(answer)
      }
      return world.machines.made().length === 1
    },
    { moment: ({ verb, point }) => (verb === 'order' && point === 'instance' ? answered : undefined) },
  )
  expect(job.run?.outcome?.ending).toBe('cancelled')
  expect(job.balance).toBeGreaterThanOrEqual(-40)
  expect(job.document?.failureReason).toBe(job.run?.outcome?.sentence)
})

test('a job that is cancelled in training gets the points back for the steps that were not trained', async () => {
  const job = await cancelWhen(told(/^step 6 of/), slow)
  const steps = job.run?.lastStep ?? 0
  expect(steps).toBeGreaterThanOrEqual(6)
  expect(steps).toBeLessThan(12)
  expect(job.run?.plan?.steps).toBe(12)
  expect(job.balance).toBe(-1000 + Math.floor(1000 * (1 - steps / 12)))
  expect(job.run?.outcome?.sentence).toMatch(
    /^Cancelled by its owner\. \d+ of 1000 points have been returned/,
  )
})

test('a job that is cancelled after its last step gets its model, and the document says so', async () => {
  const job = await runJob({
    options: slow,
    async fault(world, id) {
      await until(world, () => told(/^trained 12 of 12 steps/)(world))
      world.trainings.set(id, { status: 'CANCELLED' })
    },
  })
  expect(job.run?.outcome).toMatchObject({ ending: 'trained', refundPoints: 0 })
  expect(job.world.models.all()).toHaveLength(1)
  expect(job.document).toMatchObject({
    status: 'CANCELLED',
    modelRepoUrl: expect.stringMatching(/^https:/),
    failureReason: 'It was ended after its last step: the model is finished.',
  })
})

test('a job that reaches its deadline delivers the model as it is, for the steps that it has', async () => {
  const [name, offering] = Object.entries(settings.offerings)[0] as [string, Offering]
  const many = { ...offering, overrides: { steps: 2000, checkpointEvery: 500 } }
  const job = await runJob({
    options: { settings: { offerings: { [name]: many } }, turnMs: () => 15_000 },
  })
  const { plan, outcome, attempts, lastStep = 0 } = job.run ?? {}
  expect(outcome?.ending).toBe('trained-in-part')
  expect(lastStep).toBeGreaterThan(0)
  expect(lastStep).toBeLessThan(plan?.steps ?? 0)
  expect(job.document).toMatchObject({ status: 'COMPLETED', failureReason: outcome?.sentence })
  expect(outcome?.sentence).toContain(
    `The training reached a cost limit: the model has ${lastStep} of ${plan?.steps} steps.`,
  )
  expect(outcome?.refundPoints).toBe(Math.floor(1000 * (1 - lastStep / (plan?.steps ?? 0))))
  expect(job.world.models.all()).toMatchObject([{ trainingId: job.id, steps: lastStep }])
  const [attempt] = attempts ?? []
  expect(attempt?.tornDownAt?.getTime()).toBeLessThan(attempt?.deadline.getTime() ?? 0)
})

test('a trainer that ignores its deadline is stopped before its machine goes, and its checkpoint is kept', async () => {
  const endless: TrainerScript = (view) => {
    const plan = JSON.parse(view.files.get('plan.json')?.toString() ?? '{}')
    const files = new Map([
      ...view.files,
      ['plan.json', Buffer.from(JSON.stringify({ ...plan, steps: 1_000_000, checkpointEvery: 50 }))],
    ])
    return goodTrainer({ ...view, files })
  }
  const job = await runJob({ options: { trainer: () => endless, turnMs: () => 5000 } })
  expect(job.run?.outcome?.ending).toBe('over-budget')
  expect(job.document?.failureReason).toMatch(
    /^The training reached a cost limit: the machine reached the end/,
  )
  const [attempt] = job.run?.attempts ?? []
  expect(attempt?.tornDownAt?.getTime()).toBeLessThan(attempt?.deadline.getTime() ?? 0)
  const kept = (await job.world.store.list('work', `jobs/${job.id}/`)).map(({ key }) => key)
  for (const kind of ['tar', 'json'])
    expect(kept.some((key) => new RegExp(`/checkpoint-\\d+(-[0-9a-f]{8})?\\.${kind}$`).test(key))).toBe(true)
  expect(kept.some((key) => key.includes('dataset'))).toBe(false)
})

test('a machine that will not go is a suspected leak: told once, and once more when it is gone', async () => {
  let stubborn = true
  const job = await runJob({
    options: {
      moment({ verb, point }) {
        if (stubborn && verb === 'release' && point === 'asked') throw new Error('the cloud does not answer')
      },
    },
    unless: /Infinity|not torn down|left behind/,
  })
  const { world, id } = job
  const name = `bellows-${id}-1`
  expect(job.document?.status).toBe('COMPLETED')
  expect(job.run?.attempts[0]).toMatchObject({ suspectedLeak: true })
  expect(await world.alerts.standing()).toMatchObject([{ key: `leak:${name}`, severity: 'critical' }])

  await world.clearUp() // still stubborn
  stubborn = false
  await world.clearUp()
  await world.clearUp()
  expect(await world.alerts.standing()).toEqual([])
  expect(world.alerts.said.map(({ key, kind }) => [key, kind])).toEqual([
    [`leak:${name}`, 'raised'],
    [`leak:${name}`, 'over'],
  ])
  expect(await brokenPromises(world, [id])).toEqual([])
})

test('a teardown that fails once is tried again, and no operator is woken', async () => {
  let failures = 1
  const job = await runJob({
    options: {
      moment({ verb, point }) {
        if (verb === 'release' && point === 'asked' && failures-- > 0) throw new Error('ECONNRESET')
      },
    },
  })
  expect(job.document?.status).toBe('COMPLETED')
  expect(job.world.alerts.said).toEqual([])
})

test('a refund that fails is tried again until it works: told once, and once when it is over', async () => {
  const world = createWorld({ trainer: exits(65) })
  await world.install()
  const id = await insertJob(world)
  let failures = 4
  world.startWorker('worker', {
    before({ port, verb }) {
      if (port === 'ledger' && verb === 'refund' && failures-- > 0) throw new Error('the ledger is away')
    },
  })
  await world.clock.runUntil(() => allEnded(world, [id]), hour)
  expect(await brokenPromises(world, [id])).toEqual([])
  expect(world.alerts.said.map(({ key, kind }) => [key, kind])).toEqual([
    [`refund:${id}`, 'raised'],
    [`refund:${id}`, 'over'],
  ])
})

test('a charge that arrives after its job has ended moves no point', async () => {
  const world = createWorld()
  await world.install()
  const id = await insertJob(world)
  world.startWorker('first', {
    async before({ port, verb }) {
      if (port !== 'ledger' || verb !== 'charge') return
      world.trainings.set(id, { status: 'CANCELLED' })
      world.startWorker('second')
      await world.clock.sleep(10 * minute) // paused, while the other ends the job
    },
  })
  await world.clock.runUntil(() => world.clock.elapsed > 15 * minute && allEnded(world, [id]), hour)
  expect(await brokenPromises(world, [id])).toEqual([])
  const movements = await world.ledger.movements(id)
  expect(movements.reduce((sum, { points }) => sum + points, 0)).toBe(0)
})

test('an unforeseen error is reported with its causes and its place, and its job is tried again', async () => {
  const world = createWorld()
  await world.install()
  const id = await insertJob(world)
  world.startWorker('worker', {
    before({ port, verb }) {
      if (port === 'models' && verb === 'register')
        throw new Error('models are away', { cause: new TypeError('socket closed') })
    },
  })
  await world.clock.runUntil(() => allEnded(world, [id]), hour)
  expect(await brokenPromises(world, [id])).toEqual([])
  expect(world.trainings.document(id)?.failureReason).toBe(
    'Something went wrong on our side. Please try again. Your points have been returned.',
  )
  const failures = (await world.timeline.read(id)).filter(({ kind }) => kind === 'failure')
  expect(failures).toHaveLength(4)
  expectReport(failures[0] as TimelineEvent, 'internal', 'registering')
  expect(failures[0]?.data?.causes).toEqual(['Error: models are away', 'TypeError: socket closed'])
  const times = failures.map(({ at }) => at.getTime())
  for (const [index, time] of times.slice(1).entries())
    expect(time - (times[index] ?? 0)).toBeGreaterThanOrEqual(1000) // not at once: what is away needs time to come back
})

test('a job whose machine image is missing waits, however often it is tried, and trains once there is one', async () => {
  const detail = 'the machine image ami-1 (BELLOWS_AMI) does not exist in us-east-1'
  let orders = 0
  const world: World = createWorld({
    moment({ verb, point }) {
      if (verb !== 'order' || point !== 'asked') return
      orders++
      if (world.clock.elapsed < 5 * hour) throw new Failure('misconfigured', detail)
    },
  })
  await world.install()
  const id = await insertJob(world)
  world.startWorker('worker')
  await world.clock.runUntil(() => allEnded(world, [id]), 12 * hour)
  expect(await brokenPromises(world, [id])).toEqual([])
  expect(world.trainings.document(id)?.status).toBe('COMPLETED')
  expect(orders).toBeGreaterThan(2 * settings.maxAttempts)
  expect(world.machines.made()).toHaveLength(1)
  expect(world.alerts.said.map(({ key }) => key)).toEqual([`job:${id}`])
})

/** A job whose pulls fail so, the first ones or all. */
async function pulling(failure: Failure, times = Number.POSITIVE_INFINITY, fields = {}) {
  const offering = { ...settings.offerings['sdxl-lora'], jobImages: ['registry.example/lab/'] } as Offering
  const world = createWorld({ settings: { offerings: { 'sdxl-lora': offering } } })
  await world.install()
  const id = await insertJob(world, fields)
  let pulls = 0
  world.startWorker('worker', {
    before({ port, verb }) {
      if (port === 'host' && verb === 'pull' && pulls++ < times) throw failure
    },
  })
  await world.clock.runUntil(() => allEnded(world, [id]), 12 * hour)
  expect(await brokenPromises(world, [id])).toEqual([])
  const failures = (await world.timeline.read(id)).filter(({ kind }) => kind === 'failure')
  const document = world.trainings.document(id)
  const alerts = world.alerts.said.map(({ key }) => key)
  return { id, failures, document, alerts, pulls, machines: world.machines.made().length }
}

test('a trainer image that its registry refuses ends the job at its first machine and tells the operator', async () => {
  const detail = 'ghcr.io has no image ghcr.io/lab/trainer:1 for this machine: manifest unknown'
  const job = await pulling(new Failure('image-refused', detail))
  expect(job).toMatchObject({ pulls: 1, machines: 1, alerts: [`job:${job.id}`] })
  expect(job.document?.failureReason).toBe(
    "This training can't be run at present, for a reason on our side. Your points have been returned.",
  )
  expectReport(job.failures[0] as TimelineEvent, 'image-refused', 'pull')
  expect(job.failures[0]?.message).toBe(`attempt 1 failed: ${detail}`)
})

test('a job that names a missing trainer image costs its owner the machine, and wakes no operator', async () => {
  const named = { trainerImage: 'registry.example/lab/none:1' }
  const refused = new Failure('image-refused', 'registry.example has no image registry.example/lab/none:1')
  const job = await pulling(refused, Number.POSITIVE_INFINITY, named)
  expect(job).toMatchObject({ pulls: 1, machines: 1, alerts: [] })
  expect(job.document?.failureReason).toMatch(
    /^The training was refused: registry\.example has no image registry\.example\/lab\/none:1\. \d+ of \d+ points/,
  )
})

describe('a trainer image that its registry refuses before a machine is ordered', () => {
  const detail = 'ghcr.io has no image ghcr.io/lab/trianer:1 for this machine: manifest unknown'
  async function refused(overrides: Record<string, unknown> = {}) {
    const asked: string[] = []
    const offering = { ...settings.offerings['sdxl-lora'], jobImages: ['ghcr.io/lab/'] } as Offering
    const world = createWorld({
      settings: {
        offerings: { 'sdxl-lora': offering },
        images: { SDXL: 'ghcr.io/lab/trianer:1', FLUX: undefined, WAN: undefined },
      },
      async checkImage(image) {
        asked.push(image)
        throw new Failure('image-refused', detail)
      },
    })
    await world.install()
    const id = await insertJob(world, overrides)
    world.startWorker('worker')
    await world.clock.runUntil(() => allEnded(world, [id]), hour)
    expect(await brokenPromises(world, [id])).toEqual([])
    const run = await world.runs.read(id)
    return {
      id,
      asked,
      ending: run?.outcome?.ending,
      document: world.trainings.document(id),
      movements: await world.ledger.movements(id),
      machines: world.machines.made().length,
      stacks: world.machines.left().length,
      alerts: world.alerts.said.map(({ key, text }) => `${key} ${text}`),
    }
  }

  test('ends the job without one and without a charge, and the operator is told', async () => {
    const job = await refused()
    expect(job).toMatchObject({ asked: ['ghcr.io/lab/trianer:1'], machines: 0, stacks: 0, movements: [] })
    expect(job.ending).toBe('image-refused')
    expect(job.document).toMatchObject({ status: 'FAILED' })
    expect(job.alerts).toEqual([expect.stringContaining(detail)])
  })

  test('and that the job itself has named is its owner’s to mend', async () => {
    const job = await refused({ trainerImage: 'ghcr.io/lab/mine:1' })
    expect(job).toMatchObject({ asked: ['ghcr.io/lab/mine:1'], machines: 0, movements: [], alerts: [] })
    expect(job.document?.failureReason).toContain(`The training was refused: ${detail}`)
  })
})

test('a registry that does not answer is asked again from the same machine', async () => {
  const failure = new Failure('registry-failed', 'ghcr.io could not be reached')
  const mended = await pulling(failure, 2)
  expect(mended).toMatchObject({ pulls: 3, machines: 1, alerts: [] })
  expect(mended.document?.status).toBe('COMPLETED')
  const broken = await pulling(failure)
  expect(broken).toMatchObject({ pulls: 4, machines: 1, alerts: [`job:${broken.id}`] })
  expect(broken.document?.failureReason).toBe(
    'The trainer image could not be pulled onto the machine. Please try again later. Your points have been returned.',
  )
})

test('a store that fails once costs no second machine: the same one goes on', async () => {
  const world = createWorld()
  await world.install()
  const id = await insertJob(world)
  let failures = 1
  world.startWorker('worker', {
    before({ port, verb }) {
      if (port === 'store' && verb === 'writeOnce' && failures-- > 0)
        throw new Failure('store-failed', 'the store answered 503')
    },
  })
  await world.clock.runUntil(() => allEnded(world, [id]), hour)
  expect(await brokenPromises(world, [id])).toEqual([])
  expect(world.trainings.document(id)?.status).toBe('COMPLETED')
  expect(world.machines.made()).toHaveLength(1)
})

test.each([40_000, 5 * minute])(
  'a store that is away for %i ms once a training has ended costs no model, no machine and nobody a point',
  async (away) => {
    const world = createWorld({ settings: { capFactor: 50 } })
    await world.install()
    const id = await insertJob(world)
    const refused: number[] = []
    let backAt = Number.POSITIVE_INFINITY
    world.startWorker('worker', {
      before({ port }) {
        const hasEnded = world.events.some(({ data }) => data?.phase === 'trained')
        if (port !== 'store' || !hasEnded) return
        if (refused.length === 0) backAt = world.clock.elapsed + away
        if (world.clock.elapsed >= backAt) return
        refused.push(world.clock.elapsed)
        throw new Failure('store-failed', 'connect ECONNREFUSED')
      },
    })
    await world.clock.runUntil(() => allEnded(world, [id]), 4 * hour)
    expect(await brokenPromises(world, [id])).toEqual([])
    expect(refused.length).toBeGreaterThan(1)
    expect(world.trainings.document(id)?.status).toBe('COMPLETED')
    expect(world.machines.made()).toHaveLength(1)
    const charged = (await world.ledger.movements(id)).filter(({ key }) => /^(charge|refund):/.test(key))
    expect(charged.map(({ points }) => points)).toEqual([-1000])
  },
)

test('an outcome that was decided stays, though the answer to its write was lost', async () => {
  const world = createWorld()
  await world.install()
  const id = await insertJob(world)
  let refused = 0
  let lost = false
  world.startWorker('worker', {
    before({ port }) {
      // As often as a job is taken up again; the next error ends it.
      if (port === 'models' && refused++ < 3) throw new Error('connection lost')
    },
    async after({ port, verb }) {
      if (port !== 'runs' || verb !== 'change' || lost) return
      lost = (await world.runs.read(id))?.outcome !== undefined
      if (lost) throw new Error('connection lost')
    },
  })
  await world.clock.runUntil(() => allEnded(world, [id]), hour)
  expect(await brokenPromises(world, [id])).toEqual([])
  expect(world.trainings.document(id)?.status).toBe('COMPLETED')
})

test('a model waits for a ComfyUI that is away, without a machine or a refund', async () => {
  const world = createWorld()
  await world.install()
  const id = await insertJob(world)
  world.startWorker('worker', {
    before({ port }) {
      if (port === 'comfyUi' && world.clock.elapsed < 6 * hour) throw new Error('connect ECONNREFUSED')
    },
  })
  const gone = () => world.machines.made().length === 1 && world.machines.left().length === 0
  await world.clock.runUntil(gone, hour)
  expect(world.alerts.said.map(({ key, kind }) => [key, kind])).toEqual([['comfyui', 'raised']])
  await world.clock.runUntil(() => allEnded(world, [id]), 12 * hour)
  expect(await brokenPromises(world, [id])).toEqual([])
  expect(world.trainings.document(id)?.status).toBe('COMPLETED')
  expect(world.machines.made()).toHaveLength(1)
  expect(world.alerts.said.map(({ key, kind }) => [key, kind])).toEqual([
    ['comfyui', 'raised'],
    ['comfyui', 'over'],
  ])
})

test('a ComfyUI that was away for three hours and a hiccup of the store are two troubles, not one', async () => {
  const world = createWorld()
  await world.install()
  const id = await insertJob(world)
  let hiccups = 0
  world.startWorker('worker', {
    before({ port }) {
      if (port === 'comfyUi' && world.clock.elapsed < 3 * hour) throw new Error('connect ECONNREFUSED')
      const isLate = world.clock.elapsed > 3 * hour
      if (isLate && ['store', 'models', 'ledger', 'datasets'].includes(port) && hiccups++ < 1)
        throw new Error('connection lost')
    },
  })
  await world.clock.runUntil(() => allEnded(world, [id]), 12 * hour)
  expect(await brokenPromises(world, [id])).toEqual([])
  expect(hiccups).toBeGreaterThan(0)
  expect(world.trainings.document(id)?.status).toBe('COMPLETED')
})

test('a machine whose worker comes back a day later has cost what it was reserved for, and no more', async () => {
  const world = createWorld({ turnMs: () => 3000 })
  await world.install()
  const id = await insertJob(world)
  const first = world.startWorker('first')
  await world.clock.runUntil(() => told(/^step 6 of/)(world), hour)
  first.kill()
  const [machine] = world.machines.made()
  void world.clock.sleep(24 * hour).then(() => world.startWorker('second'))
  const { launchedAt, order } = machine as (typeof world.machines)['made'] extends () => readonly (infer M)[]
    ? M
    : never
  const off = launchedAt.getTime() + order.lifetimeSeconds * 1000
  void world.clock.sleep(off - world.clock.now().getTime()).then(() => {
    world.inside(machine?.name ?? '')?.lose()
    world.machines.lose(machine?.name ?? '', 'Client.InstanceInitiatedShutdown')
  })
  await world.clock.runUntil(() => allEnded(world, [id]), 30 * hour)
  expect(await brokenPromises(world, [id])).toEqual([])
  const [attempt] = (await world.runs.read(id))?.attempts ?? []
  expect(attempt?.costUsd).toBeCloseTo(attempt?.reservedUsd ?? 0, 5)
})
