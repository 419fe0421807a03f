import { beforeEach, expect, test } from 'vitest'
import { mongoWorkers } from '../../src/notify/mongo-workers.ts'
import type { Workers } from '../../src/notify/workers.ts'
import { memoryWorkers } from '../fakes/memory-workers.ts'
import { describeBoth } from './worlds.ts'

const startedAt = new Date('2026-11-23T10:00:00Z')
const one = { name: 'one', startedAt }

describeBoth('workers', (world) => {
  let workers: Workers

  beforeEach(async () => {
    if (world.name === 'memory') workers = memoryWorkers()
    else {
      await world.db().dropDatabase()
      workers = mongoWorkers(world.db(), 'bellows-test')
    }
  })

  test('a worker is known from its first beat on, by name, and was not silent before', async () => {
    expect(await workers.heartbeat({ ...one, name: 'two' })).toBe(0)
    expect(await workers.heartbeat(one)).toBe(0)
    expect(await workers.all()).toEqual([
      { name: 'one', startedAt, seenAt: expect.any(Date), silentMs: expect.any(Number) },
      { name: 'two', startedAt, seenAt: expect.any(Date), silentMs: expect.any(Number) },
    ])
  })

  test('silence is the time since the last beat, for all who ask and for the worker itself', async () => {
    await workers.heartbeat(one)
    const since = async () => (await workers.all())[0]?.silentMs ?? 0
    const deadline = Date.now() + 10_000
    while ((await since()) < 20 && Date.now() < deadline);
    expect(await since()).toBeGreaterThanOrEqual(20)
    expect(await workers.heartbeat(one)).toBeGreaterThanOrEqual(20)
    expect(await since()).toBeLessThan(10_000)
  })

  test('a worker that is started again under its name has a new start', async () => {
    await workers.heartbeat(one)
    await workers.heartbeat({ ...one, startedAt: new Date('2026-11-23T11:00:00Z') })
    expect(await workers.all()).toMatchObject([{ name: 'one', startedAt: new Date('2026-11-23T11:00:00Z') }])
  })

  test('a name is a name, whatever it looks like', async () => {
    const name = '$seenAt'
    await workers.heartbeat({ name, startedAt })
    expect(await workers.all()).toMatchObject([{ name, startedAt }])
  })

  test('one that leaves is gone, and may come again', async () => {
    await workers.heartbeat(one)
    await workers.leave('one')
    await workers.leave('one')
    expect(await workers.all()).toEqual([])
    expect(await workers.heartbeat(one)).toBe(0)
  })

  test('one is forgotten unless it has been seen since', async () => {
    await workers.heartbeat(one)
    const [before] = await workers.all()
    if (!before) throw new Error('it is not there')
    await workers.forget({ ...before, seenAt: new Date(before.seenAt.getTime() - 1) })
    expect(await workers.all()).toHaveLength(1)
    await workers.forget(before)
    expect(await workers.all()).toEqual([])
  })
})
