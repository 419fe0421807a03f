/**
 * The base of a deployment: buckets, a network, the machines' identity, which may do nothing, and the workers'. A plain `pulumi up`
 * makes it, once; the machines of single jobs (gpu-vm.ts) are stacks of their own that stand on it.
 * Pulumi.yaml says what can be configured; the outputs below are what a worker needs to know.
 */
import * as pulumi from '@pulumi/pulumi'
import { powerlessProfile, workerIdentity } from './identity.ts'
import { machineImage, machineNetwork } from './network.ts'
import { buckets } from './storage.ts'
import { deploymentTag } from './worker-rights.ts'

const config = new pulumi.Config('bellows')
const deployment = config.require('deployment')
const tags = { [deploymentTag]: deployment }

/** One that is empty is not set. */
const optional = (name: string) => config.get(name) || undefined

const accountId = config.require('cloudflareAccountId')
const storage = buckets({
  accountId,
  prefix: config.get('bucketPrefix') ?? '',
  existing: { datasets: optional('datasetsBucket'), models: optional('modelsBucket') },
  location: optional('location'),
  jurisdiction: optional('jurisdiction'),
  publicDomain: optional('publicDomain'),
  zoneId: optional('cloudflareZoneId'),
})
const network = await machineNetwork({ deployment, cidrBlock: config.require('network'), tags })
const profile = powerlessProfile({ deployment, tags })
const worker = workerIdentity({
  deployment,
  region: network.region,
  principal: config.get('workerPrincipal') ?? 'ec2.amazonaws.com',
  tags,
})

export { deployment }
export const datasetsBucket = storage.datasets
export const modelsBucket = storage.models
export const basesBucket = storage.bases
export const workBucket = storage.work
/** For the state of the machines' stacks (`PULUMI_BACKEND_URL`). */
export const stateBucket = storage.state
export const cloudflareAccountId = accountId
/** Of all the buckets; a part of their endpoint. */
export const jurisdiction = storage.jurisdiction
/** The models bucket's public address; empty if it has none. */
export const publicUrl = storage.publicUrl
export const region = network.region
export const vpcId = network.vpcId
/** A public subnet for each zone: `{'us-east-1a': 'subnet-…'}`. */
export const subnets = network.subnets
/** Lets machines out, and nothing in. */
export const securityGroupId = network.securityGroupId
export const imageId = await machineImage()
export const instanceProfile = profile.name
/** What a worker may do: in the role of this profile, or for a user or role of your own. */
export const workerPolicy = worker.policyArn
export const workerProfile = worker.profile
