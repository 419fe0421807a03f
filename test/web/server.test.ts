import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { Secret } from '../../src/secret.ts'
import { routes, type WebOptions } from '../../src/web/server.ts'
import type { Status } from '../../src/web/status.ts'

const counts = { QUEUED: 1, RUNNING: 0, COMPLETED: 2, FAILED: 0, CANCELLED: 0 }
const status = {
  overview: async () => ({
    worker: 'worker',
    active: [],
    counts,
    spending: { spent: { dayUsd: 1, monthUsd: 2 }, reserved: { dayUsd: 0, monthUsd: 0 } },
    budget: { dayUsd: 10, monthUsd: 20 },
    runs: [],
    held: [],
    notUnderstood: { count: 0, examples: [] },
    paused: null,
  }),
  job: async () => undefined,
  health: () => ({ healthy: true, active: 0, lastLookAt: undefined }),
} as unknown as Status

const statusToken = '6b1f0c2d9e8a7354'
const filesToken = '0a9b8c7d6e5f4a3b'

function server(options: Partial<WebOptions> = {}) {
  const app = routes({
    host: '127.0.0.1',
    hostNames: [],
    statusToken: undefined,
    status,
    metrics: new Registry(),
    files: async () => [],
    token: new Secret(filesToken),
    ...options,
  })
  return (path: string, headers: Readonly<Record<string, string>> = {}) =>
    app.request(path, { headers: { host: 'localhost:8080', ...headers } })
}

const pages = ['/', '/jobs/1', '/api/status', '/api/jobs/1', '/metrics', '/nothing'] as const

test.each([
  'evil.example',
  'evil.example:8080',
  'localhost.evil.example',
  '127.0.0.1.evil.example',
  '203.0.113.9',
  '',
])('nothing is served to a browser that asks for %s', async (host) => {
  const get = server()
  for (const path of [...pages, '/comfyui/files']) {
    const answer = await get(path, { host, authorization: `Bearer ${filesToken}` })
    expect(answer.status, path).toBe(421)
    expect(await answer.text()).toBe(
      'Nothing is served by this name: BELLOWS_HOST_NAMES lists those that are.',
    )
  }
})

test.each(['localhost', 'LOCALHOST:8080', 'localhost.', '127.0.0.1:1', '[::1]:8080'])(
  'this computer’s own name %s is served',
  async (host) => {
    expect((await server()('/', { host })).status).toBe(200)
  },
)

test('the listening address and the public names that are set are served, and no others', async () => {
  const get = server({ host: '10.0.0.5', hostNames: ['bellows.example.com'] })
  const statuses = await Promise.all(
    ['10.0.0.5:8080', 'bellows.example.com', 'Bellows.Example.com:443', '10.0.0.6', 'example.com'].map(
      async (host) => (await get('/', { host })).status,
    ),
  )
  expect(statuses).toEqual([200, 200, 200, 421, 421])
})

test('a token that is set is demanded by every page, as bearer token or as a browser’s password', async () => {
  const get = server({ statusToken: new Secret(statusToken) })
  const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
  const wrong = [
    '',
    statusToken,
    `Bearer ${statusToken}x`,
    `Bearer ${statusToken.slice(1)}`,
    `Bearer ${filesToken}`,
    basic('admin:'),
    basic(`${statusToken}:`),
  ]
  for (const path of pages) {
    for (const authorization of wrong) {
      const answer = await get(path, authorization ? { authorization } : {})
      expect(answer.status, `${path} ${authorization}`).toBe(401)
      expect(answer.headers.get('www-authenticate')).toMatch(/^Basic realm="Bellows"/)
    }
    for (const authorization of [`Bearer ${statusToken}`, basic(`anybody:${statusToken}`)]) {
      const answer = await get(path, { authorization })
      expect(answer.status, path).not.toBe(401)
      expect(answer.headers.get('cache-control')).toBe('no-store')
    }
  }
})

test('/healthz is open to every client, by whatever name', async () => {
  const get = server({ statusToken: new Secret(statusToken) })
  const answer = await get('/healthz', { host: '10.42.0.7:8080' })
  expect([answer.status, await answer.json()]).toEqual([200, { healthy: true, active: 0 }])
})

test('the list for ComfyUI wants its own token, and not the page’s', async () => {
  const get = server({ statusToken: new Secret(statusToken) })
  const statusOf = async (authorization: string) => (await get('/comfyui/files', { authorization })).status
  expect(await statusOf(`Bearer ${filesToken}`)).toBe(200)
  expect(await statusOf(`Bearer ${statusToken}`)).toBe(401)
  expect(await statusOf('')).toBe(401)
})

test.each(['/', '/api/status', '/healthz', '/nothing'])(
  '%s can’t be framed, and loads nothing of others',
  async (path) => {
    const { headers } = await server()(path)
    expect(headers.get('content-security-policy')).toBe(
      "default-src 'none'; style-src 'unsafe-inline'; img-src https: http:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    )
    expect(headers.get('x-frame-options')).toBe('DENY')
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('referrer-policy')).toBe('no-referrer')
    expect(headers.get('cross-origin-resource-policy')).toBe('same-origin')
  },
)

test('a refusal has these headers too', async () => {
  const { headers } = await server()('/', { host: 'evil.example' })
  expect(headers.get('x-frame-options')).toBe('DENY')
})
