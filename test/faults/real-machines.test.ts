/**
 * Trouble with machines, on real ones: cables that are cut, disks that fill up, boots that drag on, orders that hang.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { docker } from '../../local/emulator/machines/docker.ts'
import { type Deployment, startDeployment } from './deployment.ts'
import { measured } from './figures.ts'
import { long } from './long.ts'
import { verdictOn } from './real-promises.ts'
import type { Event, Room, TestWorker } from './room.ts'

const minute = 60_000
let deployment: Deployment

beforeAll(async () => {
  deployment = await startDeployment()
})

afterAll(() => deployment?.stop(), 2 * minute)

/** A checkpoint every 3 s or so: one is safe well before the next. */
const resumable = { steps: 1500, checkpointEvery: 300 }

const ended = (event: Event) => event.event === 'released' && event.data?.ended === true
const stepAfter = (step: number) => (event: Event) =>
  event.event === 'step' && Number(event.data?.step) > step
const isCheckpoint = ({ event }: Event) => event === 'checkpoint'
const attempt = (number: number) => (event: Event) =>
  event.event === 'attempt' && event.data?.number === number

type Place = { readonly type: string; readonly zone: string }

/** Where no fault is staged. */
const quiet: Place = { type: 'g6.xlarge', zone: 'us-east-1c' }

/** A room whose machines are of one type in one zone, and that place, for faults that are to strike there alone. */
async function roomAt(name: string, place: Place, settings: Readonly<Record<string, string>> = {}) {
  const subnets =
    deployment.environment.BELLOWS_SUBNETS?.split(',').filter((each) => each.startsWith(place.zone)) ?? []
  const only = { BELLOWS_GPU_TYPES: place.type, BELLOWS_SUBNETS: subnets.join(',') }
  return { room: await deployment.room(name, { ...only, ...settings }), place }
}

async function instanceOf(room: Room, id: string, number = 1): Promise<string> {
  const run = await room.clients.ports.runs.read(id)
  return run?.attempts.find((each) => each.number === number)?.instanceId ?? ''
}

async function reasonsOf(room: Room, id: string): Promise<readonly (string | undefined)[]> {
  const run = await room.clients.ports.runs.read(id)
  return run?.attempts.map(({ failure }) => failure?.reason) ?? []
}

/** Stops everything; returns the promises that are broken then. */
async function afterwards(room: Room, id: string) {
  await room.stopWorkers()
  const { broken, figures } = await verdictOn(room, [id])
  expect(broken).toEqual([])
  return { ...figures, faults: 1 }
}

/** The first step on the second machine, against the last on the first. */
function lostSteps(events: readonly Event[]): number {
  const moved = events.findIndex(attempt(2))
  const stepsOf = (some: readonly Event[]) =>
    some.flatMap(({ event, data }) => (event === 'step' ? [Number(data?.step)] : []))
  return Math.max(
    0,
    Math.max(...stepsOf(events.slice(0, moved))) + 1 - Math.min(...stepsOf(events.slice(moved))),
  )
}

/** Source ports of the connections to the machine's sshd. */
const sshPeers = async (instance: string) =>
  (await docker(['exec', instance, 'ss', '-tnH', 'state', 'established', 'sport = :22']))
    .split('\n')
    .map((line) => line.trim().split(/\s+/).at(-1))

/** The keepalives notice within 24 s that no answer comes; local workers then try for 8 s more by default. */
describe.concurrent('a cable that is cut in training', () => {
  test('for longer than the keepalives last, then mended: the same training is attached to again', {
    timeout: 6 * minute,
  }, async ({ task, expect }) => {
    const { room } = await roomAt('short', quiet, { BELLOWS_SSH_RECONNECT_SECONDS: '60' })
    const worker = room.startWorker('short')
    const id = await room.insertJob({ steps: 4500, checkpointEvery: 1000 })
    await worker.next(stepAfter(60))
    const instance = await instanceOf(room, id)
    const before = await sshPeers(instance)
    await deployment.trouble(`/instances/${instance}/network`, { reachable: false })
    await new Promise((resolve) => setTimeout(resolve, 30_000)) // the fault itself: no answer for so long
    const last = room.events.findLast(({ event }) => event === 'step')?.data?.step
    await deployment.trouble(`/instances/${instance}/network`, { reachable: true })
    await worker.next(stepAfter(Number(last)))
    expect(before).not.toEqual(expect.arrayContaining(await sshPeers(instance))) // over a new connection
    await worker.next(ended)
    expect(await room.document(id)).toMatchObject({ status: 'COMPLETED' })
    expect(await reasonsOf(room, id)).toEqual([undefined])
    measured(task, await afterwards(room, id))
  })

  test.runIf(long)(
    'for ever: the next machine goes on from the last checkpoint, and the lost one is gone too',
    {
      timeout: 6 * minute,
    },
    async ({ task, expect }) => {
      const { room } = await roomAt('long', quiet)
      const worker = room.startWorker('long')
      const id = await room.insertJob(resumable)
      await worker.next(isCheckpoint)
      await deployment.trouble(`/instances/${await instanceOf(room, id)}/network`, { reachable: false })
      await worker.next(ended)
      expect(await room.document(id)).toMatchObject({ status: 'COMPLETED' })
      expect(await reasonsOf(room, id)).toEqual(['machine-lost', undefined])
      const lost = lostSteps(room.events)
      measured(task, { ...(await afterwards(room, id)), lostSteps: lost })
      expect(lost).toBeLessThanOrEqual(2 * resumable.checkpointEvery)
    },
  )
})

describe.concurrent('a disk', () => {
  test.runIf(long)(
    'that fills up in training is left for another machine, which goes on from the checkpoint',
    {
      timeout: 4 * minute,
    },
    async ({ task }) => {
      const { room, place } = await roomAt('full', { type: 'g6.xlarge', zone: 'us-east-1a' })
      await deployment.trouble('/faults', { kind: 'small-disk', megabytes: 100, times: 1, ...place })
      const worker = room.startWorker('full')
      const id = await room.insertJob(resumable)
      await worker.next(isCheckpoint)
      await fillDisk(await instanceOf(room, id))
      await worker.next(ended)
      expect(await reasonsOf(room, id)).toEqual(['disk-full', undefined])
      expect(await room.document(id)).toMatchObject({ status: 'COMPLETED' })
      const lost = lostSteps(room.events)
      measured(task, { ...(await afterwards(room, id)), lostSteps: lost })
      expect(lost).toBeLessThanOrEqual(2 * resumable.checkpointEvery)
    },
  )

  test.runIf(long)(
    'that is too small on every machine ends the job with that word, refunded',
    {
      timeout: 4 * minute,
    },
    async ({ task }) => {
      const { room, place } = await roomAt('small', { type: 'g6.xlarge', zone: 'us-east-1b' })
      await deployment.trouble('/faults', { kind: 'small-disk', megabytes: 40, times: 2, ...place })
      const worker = room.startWorker('small')
      const id = await room.insertJob()
      await worker.next(ended)
      expect(await reasonsOf(room, id)).toEqual(['disk-full', 'disk-full'])
      expect((await room.document(id))?.failureReason).toMatch(/disk was full.*points have been returned/)
      measured(task, await afterwards(room, id))
    },
  )

  const fillDisk = (instance: string) =>
    docker([
      'exec',
      instance,
      'sh',
      '-c',
      'cat /dev/zero > /job/out/filler 2> /dev/null; test -s /job/out/filler',
    ])
})

describe.concurrent('the emulator for AWS', () => {
  test.runIf(long)(
    'boots a machine so slowly that the next one takes its place, and that one slowly but in time',
    {
      timeout: 5 * minute,
    },
    async ({ task }) => {
      const { room, place } = await roomAt(
        'slow',
        { type: 'g5.xlarge', zone: 'us-east-1a' },
        { BELLOWS_LIMIT_BOOT_MINUTES: '1' },
      )
      await deployment.trouble('/faults', { kind: 'slow-boot', seconds: 600, times: 1, ...place })
      await deployment.trouble('/faults', { kind: 'slow-boot', seconds: 5, times: 1, ...place })
      const worker = room.startWorker('slow')
      const id = await room.insertJob()
      await worker.next(ended)
      const run = await room.clients.ports.runs.read(id)
      expect(run?.attempts[0]?.failure).toMatchObject({
        reason: 'step-overran',
        detail: 'boot took longer than 60 s',
      })
      expect(await reasonsOf(room, id)).toEqual(['step-overran', undefined])
      const [, second] = run?.attempts ?? []
      expect(Number(second?.readyAt) - Number(second?.orderedAt)).toBeGreaterThan(5000)
      expect(await room.document(id)).toMatchObject({ status: 'COMPLETED' })
      measured(task, { ...(await afterwards(room, id)), faults: 2 })
    },
  )

  test.runIf(long)(
    'loses a machine while it boots: EC2 says why, and the next one does the work',
    {
      timeout: 5 * minute,
    },
    async ({ task }) => {
      const { room, place } = await roomAt('dead', { type: 'g5.xlarge', zone: 'us-east-1b' })
      await deployment.trouble('/faults', { kind: 'slow-boot', seconds: 600, times: 1, ...place })
      const worker = room.startWorker('dead')
      const id = await room.insertJob()
      await worker.next(({ msg }) => msg?.startsWith('waiting for i-') === true)
      const run = await room.clients.ports.runs.read(id)
      const first = run?.attempts[0]
      await deployment.trouble(`/instances/${first?.instanceId}/kill`)
      expect(await room.clients.ports.machines.state(first?.name ?? '')).toMatchObject({
        state: 'terminated',
        reason: expect.stringContaining('Server.InternalError'),
      })
      await worker.next(ended)
      expect(await reasonsOf(room, id)).toHaveLength(2)
      expect(await room.document(id)).toMatchObject({ status: 'COMPLETED' })
      measured(task, await afterwards(room, id))
    },
  )
})

describe.concurrent('a clock that jumps an hour ahead', () => {
  test('makes a worker neither take the job of another nor end its machine', { timeout: 5 * minute }, async ({
    task,
  }) => {
    const { room } = await roomAt('clock', quiet, { BELLOWS_REAP_MINUTES: '0.1' })
    const right = room.startWorker('right')
    const id = await room.insertJob({ steps: 3000 })
    await right.next(stepAfter(60))
    const wrong = room.startWorker('wrong', [...jumping, 'test/faults/watched-worker.ts'])
    await wrong.next(isReady)
    process.kill(wrong.pid, 'SIGUSR2')
    await reaped(wrong)
    await right.next(ended)
    expect(
      room.events.filter(({ worker, job, msg }) => worker === 'wrong' && (job || msg === 'leak')),
    ).toEqual([])
    expect(await reasonsOf(room, id)).toEqual([undefined])
    expect(await room.document(id)).toMatchObject({ status: 'COMPLETED' })
    measured(task, await afterwards(room, id))
  })

  test.runIf(long)(
    'changes nothing for the job that the worker trains, nor for the next',
    {
      timeout: 5 * minute,
    },
    async ({ task }) => {
      const { room } = await roomAt('early', quiet)
      const worker = room.startWorker('early', [...jumping, 'src/worker.ts'])
      await worker.next(isReady)
      const first = await room.insertJob({ steps: 600 })
      await worker.next(stepAfter(60))
      process.kill(worker.pid, 'SIGUSR2')
      await worker.next(ended)
      const next = await room.insertJob()
      await worker.next(ended)
      for (const id of [first, next]) {
        expect(await room.document(id)).toMatchObject({ status: 'COMPLETED' })
        const run = await room.clients.ports.runs.read(id)
        expect(run?.attempts).toHaveLength(1)
        const now = (await room.clients.ports.runs.now()).getTime()
        for (const { orderedAt, tornDownAt } of run?.attempts ?? []) {
          expect(orderedAt.getTime()).toBeLessThan(now)
          expect(tornDownAt?.getTime()).toBeLessThan(now)
        }
      }
      await room.stopWorkers()
      const { broken, figures } = await verdictOn(room, [first, next])
      expect(broken).toEqual([])
      measured(task, { ...figures, faults: 1 })
    },
  )

  const jumping = ['--import', './test/faults/jumping-clock.ts']
  const isReady = ({ msg }: Event) => msg === 'ready'
  const reaped = async (worker: TestWorker) => {
    const called = (name: string) => (event: Event) =>
      event.event === 'call' && String(event.data?.call).startsWith(name)
    await worker.next(called('machines.existing'))
    await worker.next(called('runs.withMachines'))
  }
})

/** Not beside the others: the emulator hangs for every client. */
describe('the engine', () => {
  test.runIf(long)(
    'never hears that its machine is made: the order is given up, and the unheard-of machine is gone',
    {
      timeout: 5 * minute,
    },
    async ({ task }) => {
      const room = await deployment.room('hang', { BELLOWS_LIMIT_ORDERING_MINUTES: '0.5' })
      const resource = 'aws:ec2/instance:Instance'
      await deployment.trouble('/faults', {
        kind: 'hang',
        operation: 'create',
        resource,
        moment: 'after',
        times: 1,
      })
      const worker = room.startWorker('hang')
      const id = await room.insertJob()
      await worker.next(ended)
      const run = await room.clients.ports.runs.read(id)
      expect(run?.attempts[0]?.failure).toMatchObject({
        reason: 'step-overran',
        detail: 'ordering took longer than 30 s',
      })
      expect(run?.attempts[0]?.instanceId).toBeUndefined()
      expect(await room.document(id)).toMatchObject({ status: 'COMPLETED' })
      measured(task, await afterwards(room, id))
    },
  )
})
