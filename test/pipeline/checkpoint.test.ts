import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { checkpointRef, findCheckpoint, saveCheckpoint } from '../../src/pipeline/steps/checkpoint.ts'
import type { Host } from '../../src/remote/host.ts'
import { openTestJob } from './open-job.ts'

const never = new AbortController().signal

/** A machine that packs its checkpoint folder into these bytes, and is held up before or after it has sent them. */
function hostWith(content: string, put: (url: string, body: Buffer) => Promise<unknown>) {
  const host: Pick<Host, 'uploadFolder'> = {
    async uploadFolder(_folder, url) {
      const body = Buffer.from(content)
      await put(url, body)
      return { size: body.length, sha256: createHash('sha256').update(body).digest('hex') }
    },
  }
  return host as Host
}

test('a stale worker that saves the same step again spoils nothing that was noted', async () => {
  const { job, store } = await openTestJob()
  const put = (url: string, body: Buffer) => store.fetch(url, { method: 'PUT', body })
  const { promise: mayGoOn, resolve: goOn } = Promise.withResolvers<void>()
  const sent = Promise.withResolvers<void>()
  const stale = saveCheckpoint(
    job,
    hostWith('of the stale', async (url, body) => {
      await mayGoOn
      await put(url, body)
      sent.resolve()
      await new Promise(() => {}) // and dies before it notes anything
    }),
    4,
    never,
  )
  stale.catch(() => {})
  await saveCheckpoint(job, hostWith('of the holder', put), 4, never)
  goOn()
  await sent.promise

  const found = await findCheckpoint(job)
  expect(found?.step).toBe(4)
  const stored = await store.read(checkpointRef(job, found ?? { step: 0 }), { maxBytes: 1000 })
  expect(stored.toString()).toBe('of the holder')
})

test('with a checkpoint go all archives of its step, and none of another', async () => {
  const { job, store } = await openTestJob()
  const put = (url: string, body: Buffer) => store.fetch(url, { method: 'PUT', body })
  for (const step of [4, 40, 41, 42]) await saveCheckpoint(job, hostWith(`step ${step}`, put), step, never)
  const left = (await store.list('work', `jobs/${job.training.id}/checkpoint`)).map(({ key }) =>
    key.replace(/-[0-9a-f]{8}\.tar$/, '.tar').replace(/.*\//, ''),
  )
  expect(left.sort()).toEqual([
    'checkpoint-41.json',
    'checkpoint-41.tar',
    'checkpoint-42.json',
    'checkpoint-42.tar',
  ])
})
