import { beforeEach, expect, test } from 'vitest'
import type { AlertBook } from '../../src/notify/alerts.ts'
import { createIndexes, mongoAlerts } from '../../src/notify/mongo-alerts.ts'
import { notify, sendAlerts } from '../../src/notify/send-alerts.ts'
import { memoryAlerts } from '../fakes/memory-alerts.ts'
import { describeBoth } from './worlds.ts'

const leak = {
  title: 'A machine may still run',
  text: 'bellows-1: costs $5 an hour',
  severity: 'critical',
} as const
const atOnce = { retryMs: 0 }

describeBoth('alerts', (world) => {
  let book: AlertBook

  beforeEach(async () => {
    if (world.name === 'memory') book = memoryAlerts()
    else {
      await world.db().dropDatabase()
      await createIndexes(world.db())
      book = mongoAlerts(world.db(), 'bellows-test')
    }
  })

  function channel(name = 'channel', failures = 0) {
    const heard: string[] = []
    let left = failures
    return {
      name,
      heard,
      async send({ kind, text }: { kind: string; text: string }) {
        if (left-- > 0) throw new Error(`${name} answered 503`)
        heard.push(`${kind}: ${text}`)
      },
    }
  }

  test('an alert that is raised again and again is told once, and is told to be over once', async () => {
    const one = channel()
    for (let turn = 0; turn < 3; turn++) await book.raise('leak', leak)
    await sendAlerts(book, [one])
    await book.raise('leak', leak)
    for (let turn = 0; turn < 3; turn++) await book.clear('leak', 'it is gone')
    await sendAlerts(book, [one])
    expect(one.heard).toEqual(['raised: bellows-1: costs $5 an hour', 'over: it is gone'])
  })

  test('twenty who raise it at once make one message', async () => {
    const one = channel()
    await Promise.all(Array.from({ length: 20 }, () => book.raise('leak', leak)))
    expect(await sendAlerts(book, [one])).toEqual({ sent: 1, problems: [] })
  })

  test('several senders at once send a message once', async () => {
    const one = channel()
    for (const key of ['a', 'b', 'c', 'd']) await book.raise(key, leak)
    await Promise.all(Array.from({ length: 5 }, () => sendAlerts(book, [one])))
    expect(one.heard).toHaveLength(4)
  })

  test('an alert that comes back is told again', async () => {
    const one = channel()
    await book.raise('leak', leak)
    await book.clear('leak', 'gone')
    await book.raise('leak', leak)
    await sendAlerts(book, [one])
    expect(one.heard.map((line) => line.split(':')[0])).toEqual(['raised', 'over', 'raised'])
  })

  test('a one-off event is told once, however often and from wherever it is reported, and never stands', async () => {
    const one = channel()
    await Promise.all(Array.from({ length: 10 }, () => book.report('job', leak)))
    expect(await book.standing()).toEqual([])
    await sendAlerts(book, [one])
    await book.report('job', leak)
    await book.clear('job', 'it is over')
    await sendAlerts(book, [one])
    expect(one.heard).toEqual(['happened: bellows-1: costs $5 an hour'])
  })

  test('clearing what was never raised says nothing', async () => {
    await book.clear('nothing', 'fine')
    expect(await sendAlerts(book, [channel()])).toEqual({ sent: 0, problems: [] })
  })

  test('a channel that fails is tried again, and the other is not told twice', async () => {
    const good = channel('good')
    const bad = channel('bad', 2)
    await book.raise('leak', leak)
    const { problems } = await sendAlerts(book, [good, bad], atOnce)
    expect(problems).toEqual(['bad answered 503', 'bad answered 503'])
    expect([good.heard.length, bad.heard.length]).toEqual([1, 1])
  })

  test('a failed message waits for its time', async () => {
    const bad = channel('bad', 1)
    await book.raise('leak', leak)
    await sendAlerts(book, [bad], { retryMs: 60_000 })
    expect(await sendAlerts(book, [bad])).toEqual({ sent: 0, problems: [] })
    expect(bad.heard).toEqual([])
  })

  test('a message that is never accepted is given up in the end', async () => {
    await book.raise('leak', leak)
    const { problems } = await sendAlerts(book, [channel('dead', 1000)], { retryMs: 0, giveUpAfter: 3 })
    expect(problems).toHaveLength(3)
    expect(await book.take(0)).toBeUndefined()
  })

  test('a sender that died with a message in hand is followed by another', async () => {
    await book.raise('leak', leak)
    expect(await book.take(0)).toBeDefined()
    const one = channel()
    await sendAlerts(book, [one])
    expect(one.heard).toHaveLength(1)
  })

  test('what stands can be listed', async () => {
    await book.raise('leak', leak)
    await book.raise('other', leak)
    await book.clear('other', 'gone')
    expect(await book.standing()).toEqual([{ ...leak, key: 'leak', raisedAt: expect.any(Date) }])
  })

  test('a channel that throws never fails the sender', async () => {
    await book.raise('leak', leak)
    const notice = await book.take(60_000)
    if (!notice) throw new Error('there is no notice')
    expect(await notify([channel('bad', 1)], notice)).toEqual({
      sent: 0,
      sentTo: [],
      problems: ['bad answered 503'],
    })
  })
})
