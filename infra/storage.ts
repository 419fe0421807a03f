/** The buckets in R2. R2 refuses to delete one that holds objects, so that `destroy` loses no model. */
import * as cloudflare from '@pulumi/cloudflare'
import * as pulumi from '@pulumi/pulumi'

type StorageOptions = {
  readonly accountId: string
  readonly prefix: string
  readonly publicDomain: string | undefined
  readonly zoneId: string | undefined
}

const dayInSeconds = 86_400

export function buckets({ accountId, prefix, publicDomain, zoneId }: StorageOptions) {
  const bucket = (name: string) =>
    new cloudflare.R2Bucket(name, { accountId, name: `${prefix}${name}`, storageClass: 'Standard' })

  const datasets = bucket('datasets')
  const models = bucket('models')
  const bases = bucket('base-models')
  const work = bucket('work')

  for (const [name, target] of Object.entries({ datasets, models, 'base-models': bases })) {
    new cloudflare.R2BucketLifecycle(name, {
      accountId,
      bucketName: target.name,
      rules: [abandonedUploads],
    })
  }
  // Prepared datasets and checkpoints, and files that were refused, long after the worker's own retention. Manifests stay.
  new cloudflare.R2BucketLifecycle('work', {
    accountId,
    bucketName: work.name,
    rules: [
      abandonedUploads,
      { ...below('jobs/', 'expire-scratch'), deleteObjectsTransition: after(90) },
      { ...below('refused/', 'expire-refused'), deleteObjectsTransition: after(90) },
    ],
  })

  return {
    datasets: datasets.name,
    models: models.name,
    bases: bases.name,
    work: work.name,
    publicUrl: publicDomain ? publicAddress(accountId, models, publicDomain, zoneId) : pulumi.output(''),
  }
}

function publicAddress(
  accountId: string,
  models: cloudflare.R2Bucket,
  domain: string,
  zoneId: string | undefined,
): pulumi.Output<string> {
  if (!zoneId) throw new Error('bellows:publicDomain needs bellows:cloudflareZoneId, the zone it is in')
  const address = new cloudflare.R2CustomDomain('models', {
    accountId,
    bucketName: models.name,
    domain,
    zoneId,
    enabled: true,
    minTls: '1.2',
  })
  return pulumi.interpolate`https://${address.domain}`
}

const below = (prefix: string, id: string) => ({ id, enabled: true, conditions: { prefix } })

const everything = (id: string) => below('', id)

const after = (days: number) => ({ condition: { type: 'Age', maxAge: days * dayInSeconds } })

const abandonedUploads = { ...everything('abort-uploads'), abortMultipartUploadsTransition: after(7) }
