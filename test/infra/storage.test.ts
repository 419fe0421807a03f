import { expect, test } from 'vitest'
import { buckets, type StorageOptions } from '../../infra/storage.ts'
import { settingsSchema } from '../../src/config.ts'
import { type Declared, declared } from '../../tools/infra/declared.ts'

const accountId = '0123456789abcdef0123456789abcdef'
const bucketType = 'cloudflare:index/r2Bucket:R2Bucket'
const lifecycleType = 'cloudflare:index/r2BucketLifecycle:R2BucketLifecycle'
const domainType = 'cloudflare:index/r2CustomDomain:R2CustomDomain'

const made = (options: Partial<StorageOptions> = {}) =>
  declared(() => buckets({ accountId, prefix: '', existing: {}, ...options }))

const of = (type: string, resources: readonly Declared[]) => resources.filter((each) => each.type === type)

test('the buckets have the names that the settings expect, and all are protected', async () => {
  const resources = of(bucketType, await made())
  const defaults = ['R2_DATASETS_BUCKET', 'R2_MODELS_BUCKET', 'R2_BASES_BUCKET', 'R2_WORK_BUCKET'] as const
  expect(resources.map(({ inputs }) => inputs.name)).toEqual([
    ...defaults.map((name) => settingsSchema.shape[name].parse(undefined)),
    'pulumi-state',
  ])
  expect(resources.map(({ isProtected }) => isProtected)).toEqual([true, true, true, true, true])
})

test('a bucket that is there already is neither made nor given a rule', async () => {
  const resources = await made({ prefix: 'shop-', existing: { datasets: 'pictures', models: 'loras' } })
  const names = of(bucketType, resources).map(({ inputs }) => inputs.name)
  expect(names).toEqual(['shop-base-models', 'shop-work', 'shop-pulumi-state'])
  const ruled = of(lifecycleType, resources).map(({ inputs }) => inputs.bucketName)
  expect(ruled.sort()).toEqual(names.sort())
})

test('the public domain may be given to a models bucket that is there already', async () => {
  const domain = { publicDomain: 'models.example.com', zoneId: 'f'.repeat(32) }
  const resources = await made({ existing: { models: 'loras' }, ...domain })
  expect(of(domainType, resources)).toMatchObject([{ inputs: { bucketName: 'loras' } }])
})

test('a jurisdiction holds for the buckets, their rules and the domain', async () => {
  const domain = { publicDomain: 'models.example.com', zoneId: 'f'.repeat(32) }
  const resources = await made({ jurisdiction: 'eu', ...domain })
  expect(resources).toHaveLength(11)
  for (const { name, inputs } of resources) expect(inputs, name).toMatchObject({ jurisdiction: 'eu' })
})

test('a location is a hint for each bucket', async () => {
  const resources = of(bucketType, await made({ location: 'weur' }))
  expect(resources.map(({ inputs }) => inputs.location)).toEqual(Array(5).fill('weur'))
})

test.each([
  [{ location: 'europe' }, 'bellows:location is one of apac, eeur, enam, oc, weur, wnam, not europe'],
  [{ jurisdiction: 'ch' }, 'bellows:jurisdiction is one of default, eu, fedramp, us, not ch'],
  [
    { location: 'weur', jurisdiction: 'eu' },
    'bellows:location and bellows:jurisdiction: R2 takes one of them, not both',
  ],
  [{ publicDomain: 'models.example.com' }, 'bellows:publicDomain needs bellows:cloudflareZoneId'],
])('%j is refused with a sentence', async (options, sentence) => {
  await expect(made(options as Partial<StorageOptions>)).rejects.toThrow(sentence)
})

test('the rules empty the work bucket only, and never the manifests', async () => {
  const expiring = of(lifecycleType, await made()).flatMap(({ inputs }) =>
    (inputs.rules as { deleteObjectsTransition?: object; conditions: { prefix: string } }[])
      .filter((rule) => rule.deleteObjectsTransition)
      .map((rule) => [inputs.bucketName, rule.conditions.prefix]),
  )
  expect(expiring).toEqual([
    ['work', 'jobs/'],
    ['work', 'refused/'],
  ])
})
