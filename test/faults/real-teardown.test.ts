/**
 * Machines that are hard to get rid of, on real parts: the engine hangs, EC2 refuses. The job ends with its model, the
 * operators are told, and the reaper goes on until nothing is left.
 */
import { EventEmitter, on } from 'node:events'
import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { listen } from '../../local/emulator/listen.ts'
import type { Notification } from '../../src/notify/alerts.ts'
import { type Deployment, startDeployment } from './deployment.ts'
import { measured } from './figures.ts'
import { long } from './long.ts'
import { verdictOn } from './real-promises.ts'
import type { Event, Room } from './room.ts'

const minute = 60_000
let deployment: Deployment

beforeAll(async () => {
  deployment = await startDeployment()
})

afterAll(() => deployment?.stop(), 2 * minute)

const ended = (event: Event) => event.event === 'released' && event.data?.ended === true

/** A room with an inbox for its alerts, on machines of one type in one zone, for faults that are to strike there alone. */
async function roomWithInbox(name: string, zone: string, settings: Readonly<Record<string, string>> = {}) {
  const notices = new EventEmitter<{ notice: [Notification] }>()
  const inbox = await listen(
    new Hono().post('/', async (context) => {
      notices.emit('notice', await context.req.json())
      return context.body(null, 204)
    }),
  )
  const subnets =
    deployment.environment.BELLOWS_SUBNETS?.split(',').filter((each) => each.startsWith(zone)) ?? []
  const room = await deployment.room(name, {
    BELLOWS_GPU_TYPES: 'g6.xlarge',
    BELLOWS_SUBNETS: subnets.join(','),
    BELLOWS_WEBHOOKS: `json:${inbox.url}/`,
    BELLOWS_REAP_MINUTES: '0.1',
    ...settings,
  })
  return {
    room,
    /** Settles with the next message of this kind about a leak. */
    async leak(kind: Notification['kind']): Promise<Notification> {
      for await (const [notice] of on(notices, 'notice') as AsyncIterable<[Notification]>) {
        if (notice.key.startsWith('leak:') && notice.kind === kind) return notice
      }
      throw new Error('the inbox was closed')
    },
    close: inbox.stop,
  }
}

/** Stages a fault; what is returned ends it. */
async function stage(fault: Readonly<Record<string, unknown>>): Promise<() => Promise<void>> {
  const faults = `${deployment.cloud.controlUrl}/faults`
  const answer = await fetch(faults, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(fault),
  })
  const { id } = (await answer.json()) as { id: string }
  return async () => void (await fetch(`${faults}/${id}`, { method: 'DELETE' }))
}

async function staged(zone: string): Promise<readonly unknown[]> {
  const all = (await (await fetch(`${deployment.cloud.controlUrl}/faults`)).json()) as { zone?: string }[]
  return all.filter((fault) => fault.zone === zone)
}

const machineOf = (id: string) => `bellows-${id}-1`

async function afterwards(room: Room, id: string) {
  await room.stopWorkers()
  const { broken, figures } = await verdictOn(room, [id])
  expect(broken).toEqual([])
  expect((await room.clients.ports.runs.read(id))?.attempts).toMatchObject([{ suspectedLeak: false }])
  expect(await room.clients.ports.alerts.standing()).toEqual([])
  return { ...figures, faults: 1 }
}

describe.concurrent('a machine whose teardown', () => {
  test.runIf(long)(
    'hangs in the engine is terminated all the same; the job ends, and the reaper removes the rest',
    { timeout: 5 * minute },
    async ({ task, expect }) => {
      const { room, leak, close } = await roomWithInbox('hang', 'us-east-1a', {
        BELLOWS_LIMIT_TEARDOWN_MINUTES: '0.25',
      })
      const worker = room.startWorker('hang')
      const id = await room.insertJob()
      const mend = await stage({
        kind: 'hang',
        operation: 'read', // the first thing that a destroy does: by then EC2 has ended the machine
        moment: 'before',
        resource: 'aws:ec2/instance:Instance',
        stack: machineOf(id),
      })
      const [told, over] = [leak('raised'), leak('over')]
      await worker.next(ended)
      const { runs, machines } = room.clients.ports
      expect(await room.document(id)).toMatchObject({ status: 'COMPLETED' })
      expect((await runs.read(id))?.attempts[0]).toMatchObject({ suspectedLeak: true })
      expect((await runs.read(id))?.attempts[0]?.tornDownAt).toBeUndefined()
      expect(room.events.map(({ msg }) => msg)).toContain(`left to the reaper: ${machineOf(id)}`)
      expect(await machines.state(machineOf(id))).toMatchObject({ state: 'terminated' })
      expect((await machines.existing()).map(({ kind }) => kind).sort()).toEqual([
        'key-pair',
        'security-group',
        'stack',
      ])
      expect(await told).toMatchObject({
        key: `leak:${machineOf(id)}`,
        severity: 'critical',
        text: expect.stringContaining('teardown took longer than 15 s'),
      })
      await mend()
      await over
      await close()
      measured(task, await afterwards(room, id))
    },
  )

  test.runIf(long)(
    'EC2 refuses goes on costing money, and an operator is told; the reaper ends it when it may',
    { timeout: 5 * minute },
    async ({ task, expect }) => {
      const zone = 'us-east-1b'
      const { room, leak, close } = await roomWithInbox('refused', zone)
      const mend = await stage({ kind: 'refuse-end', code: 'UnauthorizedOperation', zone })
      const worker = room.startWorker('refused')
      const id = await room.insertJob()
      const [told, over] = [leak('raised'), leak('over')]
      await worker.next(ended)
      const { runs, machines } = room.clients.ports
      expect(await room.document(id)).toMatchObject({ status: 'COMPLETED' })
      expect((await runs.read(id))?.attempts[0]).toMatchObject({ suspectedLeak: true })
      expect(await machines.state(machineOf(id))).toMatchObject({ state: 'running' })
      expect(await told).toMatchObject({ key: `leak:${machineOf(id)}`, severity: 'critical' })
      await mend()
      await over
      await close()
      expect(await machines.state(machineOf(id))).toMatchObject({ state: 'terminated' })
      measured(task, await afterwards(room, id))
    },
  )

  test.runIf(long)(
    'EC2 is too busy for is asked for again, and no operator is woken',
    { timeout: 4 * minute },
    async ({ task, expect }) => {
      const zone = 'us-east-1c'
      const { room, close } = await roomWithInbox('busy', zone)
      await stage({ kind: 'refuse-end', code: 'RequestLimitExceeded', zone, times: 4 })
      const worker = room.startWorker('busy')
      const id = await room.insertJob({ steps: 150 })
      await worker.next(ended)
      expect(await staged(zone)).toEqual([]) // it has struck as often as it should
      expect(await room.document(id)).toMatchObject({ status: 'COMPLETED' })
      expect(await room.db.collection('alerts').find().toArray()).toEqual([])
      await close()
      measured(task, await afterwards(room, id))
    },
  )
})
