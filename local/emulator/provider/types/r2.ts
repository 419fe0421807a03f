/** Cloudflare's R2: buckets in the local object store, their lifecycle rules and public domains. */
import { z } from 'zod'
import type { EmulatorState } from '../cloud.ts'
import { kept } from '../resource.ts'

const bucketType = 'cloudflare:index/r2Bucket:R2Bucket'

const identifier = z.string().regex(/^[0-9a-f]{32}$/, 'must be 32 hexadecimal digits')
const bucketName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/, 'must be 3 to 63 lower-case letters, digits and hyphens')
const jurisdiction = z.enum(['default', 'eu', 'fedramp', 'us']).default('default')

export const r2Bucket = kept({
  type: bucketType,
  inputs: z.strictObject({
    accountId: identifier,
    name: bucketName,
    jurisdiction,
    location: z.enum(['apac', 'eeur', 'enam', 'weur', 'wnam', 'oc']).optional(),
    storageClass: z.enum(['Standard', 'InfrequentAccess']).default('Standard'),
  }),
  changeable: ['storageClass'],
  async make({ name }, { buckets }) {
    if (await buckets.exists(name)) {
      const text = 'The bucket you tried to create already exists, and you own it.'
      throw cloudflareError('failed to make http request', 'POST', 409, 10_004, text)
    }
    await buckets.create(name)
    return { id: name, outputs: { creationDate: new Date().toISOString() } }
  },
  async unmake({ id }, { buckets }) {
    if (!(await buckets.exists(id))) return
    if (!(await buckets.isEmpty(id))) {
      const text = 'The bucket you tried to delete is not empty.'
      throw cloudflareError('failed to make http request', 'DELETE', 409, 10_008, text)
    }
    await buckets.remove(id)
  },
})

const after = (type: 'Age' | 'Age or Date') =>
  z.strictObject({
    condition: z.strictObject({
      type: type === 'Age' ? z.literal('Age') : z.enum(['Age', 'Date']),
      maxAge: z.int().positive().optional(),
      ...(type === 'Age or Date' && { date: z.iso.datetime().optional() }),
    }),
  })

export const r2BucketLifecycle = kept({
  type: 'cloudflare:index/r2BucketLifecycle:R2BucketLifecycle',
  inputs: z.strictObject({
    accountId: identifier,
    bucketName,
    jurisdiction,
    rules: z
      .array(
        z.strictObject({
          id: z.string().min(1),
          enabled: z.boolean(),
          conditions: z.strictObject({ prefix: z.string() }),
          abortMultipartUploadsTransition: after('Age').optional(),
          deleteObjectsTransition: after('Age or Date').optional(),
        }),
      )
      .max(1000)
      .optional(),
  }),
  changeable: ['rules'],
  async make({ bucketName, jurisdiction }, cloud) {
    await requireBucket(bucketName, jurisdiction, cloud)
    return { id: bucketName, outputs: {} }
  },
})

export const r2CustomDomain = kept({
  type: 'cloudflare:index/r2CustomDomain:R2CustomDomain',
  inputs: z.strictObject({
    accountId: identifier,
    bucketName,
    domain: z.hostname(),
    enabled: z.boolean(),
    jurisdiction,
    minTls: z.enum(['1.0', '1.1', '1.2', '1.3']).optional(),
    zoneId: identifier,
  }),
  changeable: ['enabled', 'minTls'],
  async make({ bucketName, domain, jurisdiction }, cloud) {
    await requireBucket(bucketName, jurisdiction, cloud)
    const zoneName = domain.split('.').slice(-2).join('.')
    return { id: domain, outputs: { zoneName, status: { ownership: 'active', ssl: 'active' } } }
  },
})

/** In another jurisdiction it is unknown. One that this emulator has not made is in none. */
async function requireBucket(name: string, jurisdiction: string, cloud: EmulatorState): Promise<void> {
  const made = cloud.state.resource(bucketType, name)
  const its = made ? (made.inputs.jurisdiction ?? 'default') : 'default'
  if (its === jurisdiction && (made || (await cloud.buckets.exists(name)))) return
  throw cloudflareError(
    'failed to make http request',
    'PUT',
    404,
    10_006,
    'The specified bucket does not exist.',
  )
}

const cloudflareError = (
  doing: string,
  method: string,
  status: number,
  code: number,
  message: string,
): Error =>
  new Error(
    `${doing}: ${method} "https://api.cloudflare.com/client/v4/accounts/…/r2/buckets": ${status} ` +
      JSON.stringify({ success: false, errors: [{ code, message }], messages: [], result: null }),
  )
