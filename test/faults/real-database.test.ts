/**
 * Trouble with the database, on a real one behind a proxy (database-proxy.ts): a primary that steps down, connections
 * that are cut, answers that are lost. The worker alone is behind it; the test sees the database as it is.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type DatabaseProxy, type Fits, startDatabaseProxy } from './database-proxy.ts'
import { type Deployment, startDeployment } from './deployment.ts'
import { measured } from './figures.ts'
import { long } from './long.ts'
import { verdictOn } from './real-promises.ts'
import type { Event, Room, TestWorker } from './room.ts'
import type { Document } from './wire-messages.ts'

const minute = 60_000
const leaseSeconds = 10
const shorter = 4
const longer = leaseSeconds + 3
let deployment: Deployment

beforeAll(async () => {
  deployment = await startDeployment({
    BELLOWS_LEASE_SECONDS: `${leaseSeconds}`,
    BELLOWS_HEARTBEAT_SECONDS: '1',
  })
}, 5 * minute)

afterAll(() => deployment?.stop(), 2 * minute)

const ended = (event: Event) => event.event === 'released' && event.data?.ended === true
const stepAfter = (step: number) => (event: Event) =>
  event.event === 'step' && Number(event.data?.step) > step

/** A write into that collection, with that text somewhere in it. */
const writeTo =
  (collection: string, text = ''): Fits =>
  (command: Document) =>
    [command.insert, command.update, command.findAndModify].includes(collection) &&
    JSON.stringify(command).includes(text)

/** What has been lost once is sent again by the driver, which gives up when that answer is lost too. */
const bothTimes = 2

type Stage = { readonly room: Room; readonly worker: TestWorker; readonly proxy: DatabaseProxy }

/** `selectionSeconds`: for how long the driver looks for a primary before it gives an operation up. */
async function onStage(name: string, selectionSeconds: number, play: (stage: Stage) => Promise<void>) {
  const room = await deployment.room(name)
  const proxy = await startDatabaseProxy(room.environment.MONGODB_URL ?? '')
  try {
    const url = new URL(proxy.url)
    url.searchParams.set('serverSelectionTimeoutMS', `${selectionSeconds * 1000}`)
    const worker = room.startWorker(name, undefined, { MONGODB_URL: url.href })
    await play({ room, worker, proxy })
  } finally {
    await room.killWorkers()
    await proxy.stop()
  }
}

/** By this worker or another: the job was left, and gone on with from its evidence. */
const takenUp = ({ events }: Room) =>
  events.filter(({ event, msg }) => event === 'phase' && msg?.startsWith('taken up by')).length

/** Done, on one machine, and all as promised. */
async function afterwards({ room }: Stage, id: string, faults: number) {
  await room.stopWorkers()
  const { broken, figures } = await verdictOn(room, [id])
  expect(broken).toEqual([])
  expect(await room.document(id)).toMatchObject({ status: 'COMPLETED' })
  const run = await room.clients.ports.runs.read(id)
  expect(run?.attempts.map(({ failure }) => failure)).toEqual([undefined])
  return { ...figures, faults }
}

describe.concurrent('a primary that steps down in training, and again later', () => {
  test.runIf(long)(
    'for less than a lease lasts: the job waits for it while its model is registered',
    {
      timeout: 4 * minute,
    },
    ({ task }) =>
      onStage('short', 30, async (stage) => {
        const { room, worker, proxy } = stage
        const done = worker.next(ended)
        const again = proxy.next(writeTo('loraModels')).then(() => proxy.stepDown(shorter))
        const id = await room.insertJob({ steps: 1000 })
        await worker.next(stepAfter(60))
        await proxy.stepDown(shorter)
        await Promise.all([again, done])
        measured(task, await afterwards(stage, id, 2))
      }),
  )

  test(
    'for longer, and every operation fails: the training is attached to again, and shipped once',
    {
      timeout: 5 * minute,
    },
    ({ task }) =>
      onStage('long', 1, async (stage) => {
        const { room, worker, proxy } = stage
        const done = worker.next(ended)
        const again = proxy.next(writeTo('trainingRuns', 'shippedAt')).then(() => proxy.stepDown(longer))
        const id = await room.insertJob({ steps: 1000 })
        await worker.next(stepAfter(60))
        await proxy.stepDown(longer)
        await Promise.all([again, done])
        measured(task, await afterwards(stage, id, 2))
        expect(takenUp(room)).toBeGreaterThanOrEqual(2)
      }),
  )
})

describe.concurrent('a database', () => {
  test.runIf(long)(
    'that is unreachable for longer than a lease lasts: the training goes on, and is attached to again',
    {
      timeout: 4 * minute,
    },
    ({ task }) =>
      onStage('cut', 1, async (stage) => {
        const { room, worker, proxy } = stage
        const done = worker.next(ended)
        const id = await room.insertJob({ steps: 1000 })
        await worker.next(stepAfter(60))
        proxy.cut()
        await new Promise((resolve) => setTimeout(resolve, longer * 1000)) // the fault itself
        proxy.mend()
        await done
        measured(task, await afterwards(stage, id, 1))
        expect(takenUp(room)).toBeGreaterThanOrEqual(1)
      }),
  )

  test('whose answers are lost: what was written is not written again', { timeout: 4 * minute }, ({ task }) =>
    onStage('lost', 30, async (stage) => {
      const { room, worker, proxy } = stage
      const done = worker.next(ended)
      const id = await room.insertJob({ steps: 150 })
      const losses = [
        proxy.loseAnswer(writeTo('trainingJobs', 'RUNNING')),
        proxy.loseAnswer(writeTo('trainingRuns', '"attempts":{"$concatArrays"')),
        proxy.loseAnswer(writeTo('pointsAccounts', `charge:${id}`), bothTimes),
        proxy.loseAnswer(writeTo('loraModels'), bothTimes),
        proxy.loseAnswer(writeTo('pointsAccounts', `credit:${id}`), bothTimes),
        proxy.loseAnswer(writeTo('trainingJobs', 'COMPLETED')),
      ]
      await Promise.all([...losses, done])
      measured(task, await afterwards(stage, id, losses.length))
      expect(takenUp(room)).toBeGreaterThanOrEqual(3)
    }),
  )
})
