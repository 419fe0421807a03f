/** Cloudflare's R2 as the emulator has it: what it takes, and what it refuses. */
import { beforeEach, expect, test } from 'vitest'
import type { EmulatorState } from '../../../../local/emulator/provider/cloud.ts'
import { resourceTypes } from '../../../../local/emulator/provider/types/all.ts'
import { make, sampleCloud } from './samples.ts'

const bucket = 'cloudflare:index/r2Bucket:R2Bucket'
const lifecycle = 'cloudflare:index/r2BucketLifecycle:R2BucketLifecycle'
const domain = 'cloudflare:index/r2CustomDomain:R2CustomDomain'
const accountId = '10ca110ca110ca110ca110ca110ca110'
const zoneId = '20ca110ca110ca110ca110ca110ca110'

let cloud: EmulatorState
beforeEach(() => {
  cloud = sampleCloud()
})

test.each(['abc', 'a-1', 'x'.repeat(63)])('a bucket may be called %s', async (name) => {
  expect(await make(cloud, bucket, { accountId, name })).toBe(name)
  expect(await cloud.buckets.exists(name)).toBe(true)
})

test.each(['ab', 'x'.repeat(64), '-abc', 'abc-', 'a_b', 'Abc', 'a.b.c'])(
  'a bucket may not be called %s',
  async (name) => {
    await expect(make(cloud, bucket, { accountId, name })).rejects.toThrow('name: must be 3 to 63')
  },
)

test.each([
  { accountId: 'a'.repeat(31) },
  { accountId: 'a'.repeat(33) },
  { accountId: 'g'.repeat(32) },
  { jurisdiction: 'ch' },
  { location: 'moon' },
  { storageClass: 'Cheap' },
  { public: true },
])('%j of a bucket is a mistake', async (change) => {
  await expect(make(cloud, bucket, { accountId, name: 'models', ...change })).rejects.toThrow(
    Object.keys(change)[0],
  )
})

test.each([
  ...['apac', 'eeur', 'enam', 'weur', 'wnam', 'oc'].map((location) => ({ location })),
  ...['default', 'eu', 'fedramp', 'us'].map((jurisdiction) => ({ jurisdiction })),
  ...['Standard', 'InfrequentAccess'].map((storageClass) => ({ storageClass })),
])('%j of a bucket is none', async (change) => {
  expect(await make(cloud, bucket, { accountId, name: 'models', ...change })).toBe('models')
})

test('a bucket that holds anything is not removed; an empty one is, and one that is gone is fine', async () => {
  await make(cloud, bucket, { accountId, name: 'models' })
  const remove = () => resourceTypes.get(bucket)?.delete('models', cloud)
  const { isEmpty } = cloud.buckets
  cloud.buckets.isEmpty = async () => false
  await expect(remove()).rejects.toThrow(/DELETE .*409 .*10008.*not empty/)
  expect(await cloud.buckets.exists('models')).toBe(true)
  cloud.buckets.isEmpty = isEmpty
  await remove()
  await remove()
  expect(await cloud.buckets.exists('models')).toBe(false)
  expect(cloud.state.resources(bucket)).toEqual([])
  await make(cloud, bucket, { accountId, name: 'models' })
  await cloud.buckets.remove('models')
  await remove()
  expect(cloud.state.resources(bucket)).toEqual([])
})

const rule = { id: 'old', enabled: true, conditions: { prefix: 'jobs/' } }
const aged = (maxAge: number, type = 'Age') => ({ condition: { type, maxAge } })

test('rules and domains need their bucket, in its own jurisdiction', async () => {
  const things = [
    [lifecycle, { rules: [rule] }],
    [domain, { domain: 'models.example.com', enabled: true, zoneId }],
  ] as const
  for (const [type, inputs] of things)
    await expect(make(cloud, type, { accountId, bucketName: 'models', ...inputs })).rejects.toThrow(
      /PUT .*: 404 .*"code":10006/,
    )
  await make(cloud, bucket, { accountId, name: 'models', jurisdiction: 'eu' })
  for (const [type, inputs] of things) {
    const named = { accountId, bucketName: 'models', ...inputs }
    await expect(make(cloud, type, named)).rejects.toThrow('10006')
    await expect(make(cloud, type, { ...named, jurisdiction: 'us' })).rejects.toThrow('10006')
    await make(cloud, type, { ...named, jurisdiction: 'eu' })
  }
  const made = cloud.state.resource(domain, 'models.example.com')?.outputs
  expect(made).toMatchObject({ zoneName: 'example.com', status: { ownership: 'active', ssl: 'active' } })
})

test('a bucket that was there before the emulator has no jurisdiction', async () => {
  await cloud.buckets.create('before')
  await make(cloud, lifecycle, { accountId, bucketName: 'before', rules: [] })
  await expect(
    make(cloud, lifecycle, { accountId, bucketName: 'before', jurisdiction: 'eu', rules: [] }),
  ).rejects.toThrow('10006')
})

test.each([
  [{ id: '' }],
  [{ conditions: {} }],
  [{ enabled: 'yes' }],
  [{ abortMultipartUploadsTransition: aged(0) }],
  [{ abortMultipartUploadsTransition: aged(1.5) }],
  [{ abortMultipartUploadsTransition: aged(1, 'Date') }],
  [{ abortMultipartUploadsTransition: { condition: { type: 'Age', date: '2026-01-01T00:00:00Z' } } }],
  [{ deleteObjectsTransition: { condition: { type: 'Date', date: 'tomorrow' } } }],
  [{ deleteObjectsTransition: aged(1, 'Size') }],
])('a lifecycle rule with %j is a mistake', async (change) => {
  await make(cloud, bucket, { accountId, name: 'models' })
  const rules = [{ ...rule, ...change }]
  await expect(make(cloud, lifecycle, { accountId, bucketName: 'models', rules })).rejects.toThrow('rules')
})

test('a bucket takes a thousand rules, by age or by date', async () => {
  await make(cloud, bucket, { accountId, name: 'models' })
  const dated = { condition: { type: 'Date', date: '2026-01-01T00:00:00Z' } }
  const full = { ...rule, abortMultipartUploadsTransition: aged(1), deleteObjectsTransition: dated }
  const rules = Array(1000).fill(full)
  await make(cloud, lifecycle, { accountId, bucketName: 'models', rules })
  const one = [...rules, rule]
  await expect(make(cloud, lifecycle, { accountId, bucketName: 'models', rules: one })).rejects.toThrow(
    'rules',
  )
})

test.each([{ domain: 'not a name' }, { minTls: '1.4' }, { enabled: 1 }, { zoneId: 'zone' }])(
  '%j of a domain is a mistake',
  async (change) => {
    await make(cloud, bucket, { accountId, name: 'models' })
    const inputs = { accountId, bucketName: 'models', domain: 'm.example.com', enabled: true, zoneId }
    await expect(make(cloud, domain, { ...inputs, ...change })).rejects.toThrow(Object.keys(change)[0])
    for (const minTls of ['1.0', '1.1', '1.2', '1.3']) await make(cloud, domain, { ...inputs, minTls })
  },
)
