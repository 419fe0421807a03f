/** The outbox by the clock: how long a notice is kept, waits and is tried. */
import { expect, test } from 'vitest'
import type { Notification } from '../../src/notify/alerts.ts'
import { notify, sendAlerts } from '../../src/notify/send-alerts.ts'
import { memoryAlerts } from '../fakes/memory-alerts.ts'

const leak = { title: 'A machine may still run', text: 'bellows-1', severity: 'critical' } as const

function outbox() {
  let time = Date.UTC(2026, 10, 23)
  const book = memoryAlerts(() => new Date(time))
  return {
    book,
    pass(milliseconds: number) {
      time += milliseconds
    },
  }
}

function channel(name: string, isDown: () => boolean = () => false) {
  const heard: string[] = []
  return {
    name,
    heard,
    async send({ key, kind }: Notification) {
      if (isDown()) throw new Error(`${name} answered 503`)
      heard.push(`${key} ${kind}`)
    },
  }
}

test('a failed round is followed by another after 10 s, then 20 s, 40 s and so on, at most an hour', async () => {
  const { book, pass } = outbox()
  let tries = 0
  const dead = channel('dead', () => ++tries > 0)
  await book.raise('leak', leak)
  await sendAlerts(book, [dead])
  for (const seconds of [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]) {
    const before = tries
    pass(seconds * 1000 - 1)
    await sendAlerts(book, [dead])
    expect(tries).toBe(before)
    pass(1)
    await sendAlerts(book, [dead])
    expect(tries).toBe(before + 1)
  }
})

test('after a hundred failed rounds a notice is given up, and not before', async () => {
  const { book, pass } = outbox()
  let tries = 0
  const dead = channel('dead', () => ++tries > 0)
  await book.raise('leak', leak)
  for (let round = 0; round < 120; round++) {
    await sendAlerts(book, [dead])
    pass(3_600_000)
  }
  expect(tries).toBe(100)
})

test('a sender keeps a notice to itself for two minutes', async () => {
  const { book, pass } = outbox()
  await book.raise('leak', leak)
  const gone = { name: 'gone', send: () => new Promise<void>(() => {}) }
  void sendAlerts(book, [gone])
  const one = channel('one')
  pass(119_999)
  expect(await sendAlerts(book, [one])).toEqual({ sent: 0, problems: [] })
  pass(1)
  expect(await sendAlerts(book, [one])).toEqual({ sent: 1, problems: [] })
})

test('a notice that waits holds back what follows under its key, and nothing else', async () => {
  const { book, pass } = outbox()
  let isDown = true
  const one = channel('one', () => isDown)
  await book.raise('a', leak)
  await sendAlerts(book, [one])
  isDown = false
  await book.clear('a', 'gone')
  await book.raise('b', leak)
  expect(await sendAlerts(book, [one])).toEqual({ sent: 1, problems: [] })
  pass(10_000)
  expect(await sendAlerts(book, [one])).toEqual({ sent: 2, problems: [] })
  expect(one.heard).toEqual(['b raised', 'a raised', 'a over'])
})

test('who knows already is not told again, and stays known', async () => {
  const { book } = outbox()
  await book.raise('leak', leak)
  const taken = await book.take(1)
  if (!taken) throw new Error('there is no notice')
  const [one, two] = [channel('one'), channel('two')]
  expect(await notify([one, two], { ...taken, sentTo: ['one'] })).toEqual({
    sent: 1,
    sentTo: ['one', 'two'],
    problems: [],
  })
  expect([one.heard, two.heard]).toEqual([[], ['leak raised']])
})

test('messages under a key are numbered from 1, with the time and the alert’s words', async () => {
  const { book, pass } = outbox()
  await book.raise('leak', leak)
  pass(60_000)
  await book.clear('leak', 'It is gone.')
  const at = (minute: number) => new Date(Date.UTC(2026, 10, 23, 0, minute))
  const common = { key: 'leak', title: leak.title, severity: 'critical', sentTo: [], failures: 0 }
  expect(book.said).toEqual([
    { ...common, number: 1, kind: 'raised', text: 'bellows-1', at: at(0) },
    { ...common, number: 2, kind: 'over', text: 'It is gone.', at: at(1) },
  ])
})
