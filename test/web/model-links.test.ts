/** Links to a finished model on its job's page: to the public domain, or where there is none, presigned when they are followed. */
import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { Secret } from '../../src/secret.ts'
import { routes } from '../../src/web/server.ts'
import { statusOf } from '../../src/web/status.ts'
import { memoryBudget } from '../fakes/memory-budget.ts'
import { memoryRuns } from '../fakes/memory-runs.ts'
import { memoryStore } from '../fakes/memory-store.ts'
import { memoryTimeline } from '../fakes/memory-timeline.ts'
import { memoryTrainings } from '../fakes/memory-trainings.ts'
import { manualClock } from '../support/manual-clock.ts'

const id = '665f1c2ab7d4e8a1c0de0001'
const folder = `loras/${id}/3f9c/1`
const modelKey = `${folder}/kite.safetensors`
const token = '6b1f0c2d9e8a7354'

async function siteOf(publicUrl: string | null) {
  const clock = manualClock()
  const store = memoryStore({ publicUrl, now: () => clock.now().getTime() })
  const runs = memoryRuns(clock.now)
  const held = await runs.acquire(id, 'worker', 1e9)
  if (!held) throw new Error('nobody else is there')
  await store.write({ bucket: 'models', key: modelKey }, 'a lora', 'application/octet-stream')
  await store.write({ bucket: 'models', key: `${folder}/samples/60-1.png` }, 'a picture', 'image/png')
  const ports = {
    trainings: memoryTrainings(),
    runs,
    timeline: memoryTimeline(),
    budget: memoryBudget(),
    clock,
    store,
  }
  const app = routes({
    host: '127.0.0.1',
    hostNames: [],
    statusToken: new Secret(token),
    status: statusOf({
      worker: 'worker',
      ports,
      budget: { dayUsd: 1, monthUsd: 1 },
      active: () => [],
      health: () => ({ healthy: true, active: 0, lastLookAt: undefined }),
    }),
    metrics: new Registry(),
    files: undefined,
    token: undefined,
  })
  const get = (path: string, authorization = `Bearer ${token}`) =>
    app.request(path, { headers: { host: 'localhost', authorization } })
  const finish = (modelRepoUrl = store.publicUrl(modelKey)) =>
    runs.change(held.lease, {
      outcome: {
        ending: 'trained',
        sentence: 'It is in your list.',
        refundPoints: 0,
        decidedAt: clock.now(),
        result: {
          modelId: '665f1c2ab7d4e8a1c0de0002',
          modelRepoUrl,
          triggerWords: [],
          previewImages: [store.publicUrl(`${folder}/samples/60-1.png`)],
        },
      },
    })
  /** Paths of the page's links, by their text. */
  const links = async () => {
    const page = await (await get(`/jobs/${id}`)).text()
    return Object.fromEntries(
      [...page.matchAll(/<a href="([^"]+)">([^<]+)<\/a>/g)].map(([, path, text]) => [text, path as string]),
    )
  }
  return { store, clock, get, finish, links }
}

test('without a public domain the page links to the model and its samples, and whoever follows gets them', async () => {
  const { store, get, finish, links } = await siteOf(null)
  await finish()
  const { 'kite.safetensors': model, '60-1.png': sample } = await links()
  const answer = await get(model ?? '')
  expect(answer.status).toBe(302)
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(await (await store.fetch(answer.headers.get('location') ?? '')).text()).toBe('a lora')
  const picture = (await get(sample ?? '')).headers.get('location') ?? ''
  expect(await (await store.fetch(picture)).text()).toBe('a picture')
})

test('a link that was made an hour ago opens nothing any more, and the page’s own goes on', async () => {
  const { store, clock, get, finish, links } = await siteOf(null)
  await finish()
  const path = (await links())['kite.safetensors'] ?? ''
  const first = (await get(path)).headers.get('location') ?? ''
  await clock.advance(3600 * 1000)
  expect((await store.fetch(first)).status).toBe(403)
  const second = (await get(path)).headers.get('location') ?? ''
  expect((await store.fetch(second)).status).toBe(200)
})

test('with a public domain the link leads there', async () => {
  const { get, finish, links } = await siteOf('https://models.example')
  await finish()
  const { location } = Object.fromEntries((await get((await links())['kite.safetensors'] ?? '')).headers)
  expect(location).toBe(`https://models.example/${modelKey}`)
})

test('nothing is signed for who does not know the page’s token', async () => {
  const { get, finish, links } = await siteOf(null)
  await finish()
  const answer = await get((await links())['kite.safetensors'] ?? '', '')
  expect([answer.status, answer.headers.get('location')]).toEqual([401, null])
})

test.each(['model', 'samples/1', 'samples/2', 'samples/0', 'samples/x'])(
  'a training without a model has no %s',
  async (file) => {
    const { get, links } = await siteOf(null)
    expect(Object.keys(await links())).toEqual(['Bellows'])
    expect((await get(`/jobs/${id}/${file}`)).status).toBe(404)
    expect((await get(`/jobs/unknown/${file}`)).status).toBe(404)
  },
)

test('an address of another bucket is never signed', async () => {
  const { get, finish, links } = await siteOf(null)
  await finish('s3://work/manifests/1.json')
  expect((await get((await links())['1.json'] ?? '')).status).toBe(404)
})
