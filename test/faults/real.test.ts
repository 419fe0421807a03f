/** The promises on real parts: real processes are killed, real containers die, and the ledger is still right. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Deployment, startDeployment } from './deployment.ts'
import { measured } from './figures.ts'
import { long } from './long.ts'
import type { Event } from './room.ts'

let deployment: Deployment

beforeAll(async () => {
  deployment = await startDeployment({ BELLOWS_CONTAINER_MEMORY_GB: '0.2' })
})

// A worker that a failed test left behind would take the next test's job.
afterEach(() => deployment.killWorkers())

afterAll(() => deployment?.stop(), 120_000)

const ended = (id: string) => (event: Event) => event.event === 'released' && event.job === id
const stepOf = (id: string, atLeast: number) => (event: Event) =>
  event.event === 'step' && event.job === id && Number(event.data?.step) >= atLeast
const checkpointOf = (id: string) => (event: Event) => event.event === 'checkpoint' && event.job === id

async function sums(id: string): Promise<Record<string, number>> {
  const movements = await deployment.clients.ports.ledger.movements(id)
  return Object.fromEntries(
    movements.map(({ key, points }) => [
      key
        .split(':')
        .filter((part) => part !== id)
        .join(':'),
      points,
    ]),
  )
}

const trainedSums = { charge: -1000, 'credit:trainer': 100, 'credit:dataset-creator': 50 }

describe('on real parts', () => {
  test('a worker killed in training is replaced: the training is re-attached, not begun anew', async ({
    task,
  }) => {
    const first = deployment.startWorker('first')
    const id = await deployment.insertJob()
    await first.next(stepOf(id, 60))
    await first.kill()
    const killedAt = Date.now()
    const second = deployment.startWorker('second')
    await second.next((event) => event.job === id && event.event === 'step')
    measured(task, { crashPoints: 1, resumeSeconds: (Date.now() - killedAt) / 1000 })
    await second.next(ended(id))
    expect(await deployment.document(id)).toMatchObject({ status: 'COMPLETED' })
    const run = await deployment.clients.ports.runs.read(id)
    expect(run?.attempts).toHaveLength(1)
    expect(await sums(id)).toEqual(trainedSums)
    expect(await deployment.left()).toEqual([])
    measured(task, { crashesSurvived: 1 })
    await second.stop()
  })

  test('a machine killed in training is replaced: the next one goes on from the last checkpoint', async ({
    task,
  }) => {
    const worker = deployment.startWorker('third')
    const id = await deployment.insertJob()
    await worker.next(checkpointOf(id))
    const run = await deployment.clients.ports.runs.read(id)
    const secondAttempt = worker.next(
      (event) => event.job === id && event.event === 'attempt' && event.data?.number === 2,
    )
    await deployment.trouble(`/instances/${run?.attempts[0]?.instanceId}/kill`)
    const moved = await secondAttempt
    const resumed = await worker.next((event) => event.job === id && event.event === 'step')
    expect(Number(resumed.data?.step)).toBeGreaterThan(50)
    const lastStep = deployment.events.findLast(
      (event) => event.job === id && event.event === 'step' && event.heardAt < moved.heardAt,
    )?.data?.step
    measured(task, { faults: 1, lostSteps: Math.max(0, Number(lastStep) + 1 - Number(resumed.data?.step)) })
    await worker.next(ended(id))
    const failure = (await deployment.clients.ports.timeline.read(id)).find(({ kind }) => kind === 'failure')
    expect(failure?.data?.reason).toBe('machine-lost')
    expect(failure?.data?.evidence).toMatch(/^== console\n[\s\S]*^bellows: the first boot is done$/m)
    expect(await deployment.document(id)).toMatchObject({ status: 'COMPLETED' })
    expect(await sums(id)).toEqual(trainedSums)
    expect(await deployment.left()).toEqual([])
    const present = async () => (await deployment.clients.ports.workers.all()).map(({ name }) => name)
    expect(await present()).toContain(worker.name)
    await worker.stop()
    expect(await present()).not.toContain(worker.name)
  })

  test('a spot notice in training saves a checkpoint, and the next offer goes on from it', async () => {
    const worker = deployment.startWorker('fourth')
    const id = await deployment.insertJob({ steps: 2000 }) // the machine looks for a notice every 5 s
    await worker.next(stepOf(id, 60))
    const run = await deployment.clients.ports.runs.read(id)
    const second = worker.next(
      (event) => event.job === id && event.event === 'attempt' && event.data?.number === 2,
    )
    await deployment.trouble(`/instances/${run?.attempts[0]?.instanceId}/spot-notice`, { seconds: 120 })
    await second
    await worker.next(ended(id))
    const after = await deployment.clients.ports.runs.read(id)
    expect(after?.attempts[0]?.failure?.reason).toBe('machine-lost')
    expect(await deployment.document(id)).toMatchObject({ status: 'COMPLETED' })
    expect(await sums(id)).toEqual(trainedSums)
    expect(await deployment.left()).toEqual([])
    await worker.stop()
  })

  test.runIf(long)('an offer without capacity is passed over for the next', async () => {
    // The provider asks three times.
    await deployment.trouble('/faults', { kind: 'refuse', code: 'InsufficientInstanceCapacity', times: 3 })
    const worker = deployment.startWorker('fifth')
    const id = await deployment.insertJob()
    await worker.next(ended(id))
    const run = await deployment.clients.ports.runs.read(id)
    expect(run?.attempts.map(({ failure }) => failure?.reason)).toEqual(['no-capacity', undefined])
    expect(await deployment.document(id)).toMatchObject({ status: 'COMPLETED' })
    expect(await deployment.left()).toEqual([])
    await worker.stop()
  })

  test.runIf(long)(
    'a job whose container is killed for its memory is refunded and leaves no machine',
    async () => {
      const worker = deployment.startWorker('sixth')
      const id = await deployment.insertJob({ triggerWord: 'fault-out-of-memory' })
      await worker.next(ended(id))
      const document = await deployment.document(id)
      expect(document).toMatchObject({ status: 'FAILED' })
      expect(document?.failureReason).toMatch(/ran out of memory.*points have been returned/)
      expect(await sums(id)).toEqual({ charge: -1000, refund: 1000 })
      expect(await deployment.left()).toEqual([])
      await worker.stop()
    },
  )

  test('a job that is cancelled in training is gone from its machine within 30 s, and refunded pro rata', async () => {
    const worker = deployment.startWorker('seventh')
    const id = await deployment.insertJob()
    await worker.next(stepOf(id, 100))
    const cancelledAt = Date.now()
    await deployment.db
      .collection('trainingJobs')
      .updateOne({ modelRepoUrl: null, status: 'RUNNING' }, { $set: { status: 'CANCELLED' } })
    await worker.next(ended(id))
    expect(Date.now() - cancelledAt).toBeLessThan(30_000)
    const { refund = 0, charge } = await sums(id)
    expect(charge).toBe(-1000)
    expect(refund).toBeGreaterThan(0)
    expect(refund).toBeLessThan(1000)
    expect(await deployment.document(id)).toMatchObject({ status: 'CANCELLED' })
    expect(await deployment.left()).toEqual([])
    await worker.stop()
  })
})
