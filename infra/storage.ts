/**
 * The buckets in R2, which `destroy` never removes: they are protected, and R2 refuses to delete one that holds objects.
 * Those that were there before are named, and nothing of them is changed: their rules are their owner's.
 */
import * as cloudflare from '@pulumi/cloudflare'
import * as pulumi from '@pulumi/pulumi'
import { jurisdictions, locations } from './r2-places.ts'

export type StorageOptions = {
  readonly accountId: string
  /** Put before the name of each bucket that is made. */
  readonly prefix: string
  /** Names of buckets that are there already, and stay as they are. */
  readonly existing: { readonly datasets?: string | undefined; readonly models?: string | undefined }
  /** Where R2 should preferably keep them: a hint, for the first bucket of a name only. Default: near the caller. */
  readonly location?: string | undefined
  /** Where R2 must keep them. Nothing can be moved to another one later. Default `default`: anywhere. */
  readonly jurisdiction?: string | undefined
  readonly publicDomain?: string | undefined
  readonly zoneId?: string | undefined
}

const dayInSeconds = 86_400

export function buckets(options: StorageOptions) {
  const { accountId, prefix, existing, location, jurisdiction = 'default' } = options
  requirePlace(options)
  const bucket = (name: string, rules: readonly Rule[] = [abandonedUploads]) => {
    const made = new cloudflare.R2Bucket(
      name,
      {
        accountId,
        name: `${prefix}${name}`,
        jurisdiction,
        ...(location && { location }),
        storageClass: 'Standard',
      },
      { protect: true },
    )
    new cloudflare.R2BucketLifecycle(name, {
      accountId,
      bucketName: made.name,
      jurisdiction,
      rules: [...rules],
    })
    return made.name
  }
  const orMade = (name: 'datasets' | 'models') => {
    const itsName = existing[name]
    return itsName ? pulumi.output(itsName) : bucket(name)
  }

  const datasets = orMade('datasets')
  const models = orMade('models')
  return {
    datasets,
    models,
    bases: bucket('base-models'),
    work: bucket('work', workRules),
    /** Of the stacks of single machines; R2 encrypts all that it holds. */
    state: bucket('pulumi-state'),
    jurisdiction,
    publicUrl: publicAddress(options, models, jurisdiction),
  }
}

function requirePlace({ location, jurisdiction }: StorageOptions): void {
  const oneOf = (setting: string, known: readonly string[], given: string | undefined) => {
    if (given !== undefined && !known.includes(given))
      throw new Error(`bellows:${setting} is one of ${known.join(', ')}, not ${given}`)
  }
  oneOf('location', locations, location)
  oneOf('jurisdiction', jurisdictions, jurisdiction)
  if (location && jurisdiction && jurisdiction !== 'default')
    throw new Error('bellows:location and bellows:jurisdiction: R2 takes one of them, not both')
}

/** Empty where the models stay private. */
function publicAddress(
  { accountId, publicDomain: domain, zoneId }: StorageOptions,
  bucketName: pulumi.Output<string>,
  jurisdiction: string,
): pulumi.Output<string> {
  if (!domain) return pulumi.output('')
  if (!zoneId) throw new Error('bellows:publicDomain needs bellows:cloudflareZoneId, the zone it is in')
  const address = new cloudflare.R2CustomDomain('models', {
    accountId,
    bucketName,
    jurisdiction,
    domain,
    zoneId,
    enabled: true,
    minTls: '1.2',
  })
  return pulumi.interpolate`https://${address.domain}`
}

type Rule = cloudflare.types.input.R2BucketLifecycleRule

const below = (prefix: string, id: string) => ({ id, enabled: true, conditions: { prefix } })

const after = (days: number) => ({ condition: { type: 'Age', maxAge: days * dayInSeconds } })

const abandonedUploads: Rule = { ...below('', 'abort-uploads'), abortMultipartUploadsTransition: after(7) }

/** Prepared datasets and checkpoints, and files that were refused, long after the worker's own retention. Manifests stay. */
const workRules: readonly Rule[] = [
  abandonedUploads,
  { ...below('jobs/', 'expire-scratch'), deleteObjectsTransition: after(90) },
  { ...below('refused/', 'expire-refused'), deleteObjectsTransition: after(90) },
]
