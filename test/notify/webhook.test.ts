import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import type { Notification } from '../../src/notify/alerts.ts'
import { jsonWebhook, slackWebhook, telegramWebhook } from '../../src/notify/webhook.ts'
import { Secret } from '../../src/secret.ts'

const notice: Notification = {
  key: 'leak:bellows-1',
  number: 1,
  kind: 'raised',
  title: 'A machine may still run',
  text: 'i-1 <at> us-east-1 & billing',
  severity: 'critical',
  at: new Date('2026-11-23T12:00:00Z'),
  sentTo: [],
  failures: 0,
}

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

/** A server that answers with these statuses in turn (the last one from then on) and keeps the bodies. */
async function server(...statuses: (number | 'silence' | 'redirect')[]) {
  const bodies: unknown[] = []
  const http = createServer((request, response) => void answer(request, response))
  async function answer(request: IncomingMessage, response: ServerResponse) {
    let body = ''
    for await (const chunk of request) body += chunk
    bodies.push(JSON.parse(body))
    const status = statuses.length > 1 ? statuses.shift() : statuses[0]
    if (status === 'silence') return
    if (status === 'redirect') response.writeHead(307, { location: '/elsewhere' }).end()
    else response.writeHead(status ?? 200, { 'retry-after': '0' }).end('thanks')
  }
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  closers.push(() => {
    http.closeAllConnections()
    http.close()
  })
  const url = new Secret(`http://127.0.0.1:${(http.address() as AddressInfo).port}/hook/s3cr3t`)
  return { bodies, options: { name: 'ops', url, backoffMs: 1, timeoutMs: 2000 } }
}

test('a plain webhook gets the whole notice as JSON', async () => {
  const { bodies, options } = await server(200)
  await jsonWebhook(options).send(notice)
  expect(bodies).toEqual([
    {
      key: 'leak:bellows-1',
      kind: 'raised',
      severity: 'critical',
      title: 'A machine may still run',
      text: 'i-1 <at> us-east-1 & billing',
      at: '2026-11-23T12:00:00.000Z',
    },
  ])
})

test('Slack gets a text in its own escaping', async () => {
  const { bodies, options } = await server(200)
  await slackWebhook(options).send({ ...notice, kind: 'over' })
  expect(bodies).toEqual([
    { text: '*Over: A machine may still run*\ni-1 &lt;at&gt; us-east-1 &amp; billing' },
  ])
})

test('Telegram gets a chat and a text that is not too long', async () => {
  const { bodies, options } = await server(200)
  await telegramWebhook({ ...options, chatId: '-100' }).send({ ...notice, text: 'x'.repeat(5000) })
  expect(bodies[0]).toMatchObject({ chat_id: '-100', text: expect.stringMatching(/^critical: A machine/) })
  expect((bodies[0] as { text: string }).text).toHaveLength(4096)
})

test('a server that is busy or failing is tried again', async () => {
  const { bodies, options } = await server(503, 429, 200)
  await jsonWebhook(options).send(notice)
  expect(bodies).toHaveLength(3)
})

test('a server that goes on failing is given up after three tries', async () => {
  const { bodies, options } = await server(500)
  await expect(jsonWebhook(options).send(notice)).rejects.toThrow('ops answered 500, 3 times')
  expect(bodies).toHaveLength(3)
})

test('a refusal is not repeated, and its report has no secret', async () => {
  const { bodies, options } = await server(404)
  const error = await jsonWebhook(options)
    .send(notice)
    .catch((reason: Error) => reason)
  expect(error).toMatchObject({ message: 'ops answered 404' })
  expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain('s3cr3t')
  expect(bodies).toHaveLength(1)
})

test('a redirect is not followed', async () => {
  const { bodies, options } = await server('redirect', 200)
  await expect(jsonWebhook(options).send(notice)).rejects.toThrow('ops answered 307')
  expect(bodies).toHaveLength(1)
})

test('a server that never answers is left after the time limit', async () => {
  const { options } = await server('silence')
  const impatient = { ...options, timeoutMs: 50, tries: 2 }
  await expect(jsonWebhook(impatient).send(notice)).rejects.toThrow('ops did not answer in time, 2 times')
})

test('a host that is not there is reported without its address', async () => {
  const options = { name: 'ops', url: new Secret('http://127.0.0.1:1/s3cr3t'), backoffMs: 1 }
  await expect(jsonWebhook(options).send(notice)).rejects.toThrow(/^ops could not be reached, 3 times$/)
})
