/** What a webhook is sent by default, and how long it is waited for: with a clock that stands still until it is told. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Notification } from '../../src/notify/alerts.ts'
import { jsonWebhook, slackWebhook } from '../../src/notify/webhook.ts'
import { Secret } from '../../src/secret.ts'

const notice: Notification = {
  key: 'leak:bellows-1',
  number: 1,
  kind: 'raised',
  title: 'A <b> & c',
  text: 'text',
  severity: 'warning',
  at: new Date('2026-11-23T12:00:00Z'),
  sentTo: [],
  failures: 0,
}

const options = { name: 'ops', url: new Secret('http://ops.example/hook') }

let requests: { readonly at: number; readonly init: RequestInit }[]
let answers: (() => Response)[]

beforeEach(() => {
  requests = []
  answers = []
  vi.useFakeTimers({ now: 0, toFake: ['setTimeout', 'clearTimeout', 'Date'] })
  vi.stubGlobal('fetch', async (_: string, init: RequestInit) => {
    requests.push({ at: Date.now(), init })
    return answers.shift()?.() ?? new Response('ok')
  })
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

const answer = (status: number, retryAfter?: string) => () =>
  new Response('', { status, headers: retryAfter === undefined ? {} : { 'retry-after': retryAfter } })

async function send(): Promise<string> {
  const sending = jsonWebhook(options)
    .send(notice)
    .then(
      () => 'sent',
      ({ message }: Error) => message,
    )
  await vi.advanceTimersByTimeAsync(120_000)
  return sending
}

const times = () => requests.map(({ at }) => at)

test('is asked by POST, as JSON, and not led elsewhere', async () => {
  expect(await send()).toBe('sent')
  expect(requests[0]?.init).toMatchObject({
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    redirect: 'manual',
  })
})

test('is tried three times, after half a second and then a whole one', async () => {
  answers = [answer(500), answer(503), answer(599), answer(200)]
  expect(await send()).toBe('ops answered 599, 3 times')
  expect(times()).toEqual([0, 500, 1500])
})

test.each([
  ['0', [0, 0]],
  ['7', [0, 7000]],
  ['30', [0, 30_000]],
  ['31', [0, 500]],
  ['-1', [0, 500]],
  ['Wed, 21 Oct 2026 07:28:00 GMT', [0, 500]],
])('that says Retry-After: %s is tried again when it says so, within 30 s', async (retryAfter, expected) => {
  answers = [answer(429, retryAfter)]
  expect(await send()).toBe('sent')
  expect(times()).toEqual(expected)
})

test.each([400, 428, 430, 499])('that answers %i is not tried again', async (status) => {
  answers = [answer(status)]
  expect(await send()).toBe(`ops answered ${status}`)
  expect(requests).toHaveLength(1)
})

test('is waited for 10 s at each try', async () => {
  const limit = vi.spyOn(AbortSignal, 'timeout')
  await send()
  expect(limit).toHaveBeenCalledExactlyOnceWith(10_000)
})

test('gets a headline with the severity, in which Slack sees no markup', async () => {
  await slackWebhook(options).send(notice)
  expect(JSON.parse(String(requests[0]?.init.body))).toEqual({
    text: '*warning: A &lt;b&gt; &amp; c*\ntext',
  })
})
