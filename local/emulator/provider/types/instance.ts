/** `aws:ec2/instance:Instance`: an order to EC2, and what Pulumi shows of the machine that came of it. */
import { z } from 'zod'
import { ApiError } from '../../ec2/api-error.ts'
import { imageId, imageSnapshot, localRegion, rootDevice } from '../../ec2/catalog.ts'
import type { EmulatorState } from '../cloud.ts'
import type { Made, ResourceType } from '../resource.ts'
import { tags } from '../schema.ts'
import type { Instance, Properties } from '../state.ts'
import { arnOf } from './identifier.ts'
import { profileType } from './identity.ts'
import { demandChange, demandEnd, demandProfile, orderQuestions } from './instance-rights.ts'
import { keyPairType } from './key-pair.ts'
import { subnetType } from './network.ts'
import { groupType } from './security-group.ts'

const inputs = z.strictObject({
  ami: z.string(),
  instanceType: z.string(),
  availabilityZone: z.string().optional(),
  subnetId: z.string(),
  associatePublicIpAddress: z.boolean().optional(),
  vpcSecurityGroupIds: z.array(z.string()).min(1).max(5),
  keyName: z.string().optional(),
  iamInstanceProfile: z.string().optional(),
  instanceMarketOptions: z
    .strictObject({
      marketType: z.enum(['spot', 'capacity-block']),
      spotOptions: z
        .strictObject({
          instanceInterruptionBehavior: z.enum(['hibernate', 'stop', 'terminate']).optional(),
          maxPrice: z.string().optional(),
          spotInstanceType: z.enum(['one-time', 'persistent']).optional(),
          validUntil: z.iso.datetime().optional(),
        })
        .optional(),
    })
    .optional(),
  instanceInitiatedShutdownBehavior: z.enum(['stop', 'terminate']).default('stop'),
  metadataOptions: z
    .strictObject({
      httpEndpoint: z.enum(['enabled', 'disabled']).optional(),
      httpTokens: z.enum(['optional', 'required']).optional(),
      httpPutResponseHopLimit: z.int().min(1).max(64).optional(),
      instanceMetadataTags: z.enum(['enabled', 'disabled']).optional(),
    })
    .optional(),
  rootBlockDevice: z
    .strictObject({
      volumeType: z.enum(['standard', 'io1', 'io2', 'gp2', 'gp3', 'sc1', 'st1']).optional(),
      volumeSize: z.int().min(1).max(16_384).optional(),
      iops: z.int().optional(),
      throughput: z.int().optional(),
      encrypted: z.boolean().optional(),
      deleteOnTermination: z.boolean().optional(),
    })
    .optional(),
  userData: z.string().optional(),
  userDataReplaceOnChange: z.boolean().optional(),
  /** Of the disks, in the order itself; the provider gives a disk's own tags only after it. */
  volumeTags: tags,
  tags,
})

type Inputs = z.infer<typeof inputs>

export const instance: ResourceType = {
  type: 'aws:ec2/instance:Instance',
  inputs,
  changeable: ['tags', 'instanceInitiatedShutdownBehavior', 'vpcSecurityGroupIds', 'metadataOptions'],
  async create(given, cloud) {
    const wanted = inputs.parse(given)
    cloud.caller.demand(ordering, orderQuestions(wanted, cloud))
    const order = orderFor(wanted, cloud)
    const machine = await cloud.instances.run({ ...order, inputs: given }, cloud.retries)
    // The provider says it once more after the order, and by then a machine runs.
    demandChange(machine, cloud, `updating EC2 Instance (${machine.id})`)
    if (wanted.iamInstanceProfile) demandProfile(machine.id, wanted.iamInstanceProfile, cloud)
    return shown(machine)
  },
  async read(id, cloud) {
    const found = cloud.instances.find(id)
    return found && found.state !== 'terminated' && found.state !== 'shutting-down' ? shown(found) : undefined
  },
  async update(id, given, cloud) {
    const found = cloud.instances.find(id)
    if (!found) throw noInstance(id)
    demandChange(found, cloud, `updating EC2 Instance (${id})`)
    const {
      tags = {},
      instanceInitiatedShutdownBehavior: shutdownBehavior,
      vpcSecurityGroupIds,
    } = inputs.parse(given)
    const changed = { ...found, inputs: given, tags, shutdownBehavior, groupIds: vpcSecurityGroupIds }
    cloud.state.putInstance(changed)
    for (const group of vpcSecurityGroupIds) await cloud.instances.applyGroup(group)
    return shown(changed)
  },
  async delete(id, cloud) {
    const found = cloud.instances.find(id)
    if (found) demandEnd(found, cloud)
    await cloud.instances.terminate(id)
  },
}

const ordering = { doing: 'creating EC2 Instance', operation: 'RunInstances' }

/** Checks what EC2 checks before it looks for capacity, in EC2's words. */
function orderFor(wanted: Inputs, { state }: EmulatorState) {
  const refuse = (code: string, detail: string) => {
    throw new ApiError(ordering, code, detail)
  }
  const {
    ami,
    subnetId,
    keyName,
    iamInstanceProfile: profile,
    availabilityZone,
    rootBlockDevice: root,
  } = wanted
  if (!/^ami-[0-9a-f]{8,17}$/.test(ami)) refuse('InvalidAMIID.Malformed', `Invalid id: "${ami}"`)
  if (ami !== imageId) refuse('InvalidAMIID.NotFound', `The image id '[${ami}]' does not exist`)
  const subnet = state.resource(subnetType, subnetId)
  if (!subnet) refuse('InvalidSubnetID.NotFound', `The subnet ID '${subnetId}' does not exist`)
  const { availabilityZone: zone, vpcId } = (subnet?.inputs ?? {}) as {
    availabilityZone: string
    vpcId: string
  }
  if (availabilityZone !== undefined && availabilityZone !== zone) {
    refuse('InvalidParameterValue', `Value (${availabilityZone}) for parameter availabilityZone is invalid.`)
  }
  for (const id of wanted.vpcSecurityGroupIds) {
    const group = state.resource(groupType, id)
    if (group?.inputs.vpcId !== vpcId)
      refuse('InvalidGroup.NotFound', `The security group '${id}' does not exist`)
  }
  if (keyName !== undefined && !state.resource(keyPairType, keyName)) {
    refuse('InvalidKeyPair.NotFound', `The key pair '${keyName}' does not exist`)
  }
  if (profile !== undefined && !state.resource(profileType, profile)) {
    refuse(
      'InvalidParameterValue',
      `Value (${profile}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name`,
    )
  }
  const diskGb = root?.volumeSize ?? imageSnapshot.gb
  if (diskGb < imageSnapshot.gb) {
    const { id, gb } = imageSnapshot
    const small = `Volume of size ${diskGb}GB is smaller than snapshot '${id}', expect size >= ${gb}GB`
    refuse('InvalidBlockDeviceMapping', small)
  }
  const userData = wanted.userData ?? ''
  if (Buffer.byteLength(userData) > 16_384) {
    refuse('InvalidParameterValue', 'User data is limited to 16384 bytes')
  }
  if (wanted.instanceMarketOptions?.spotOptions?.spotInstanceType === 'persistent') {
    refuse('InvalidParameterValue', 'The local cloud rents no persistent spot instances')
  }
  return {
    type: wanted.instanceType,
    zone,
    imageId: ami,
    subnetId,
    vpcId,
    keyName,
    groupIds: wanted.vpcSecurityGroupIds,
    market: wanted.instanceMarketOptions?.marketType === 'spot' ? ('spot' as const) : ('on-demand' as const),
    shutdownBehavior: wanted.instanceInitiatedShutdownBehavior,
    tags: wanted.tags ?? {},
    volume: { gb: diskGb, tags: wanted.volumeTags ?? {} },
    userData,
  }
}

function shown({ id, inputs: given, state, address, zone, volume, market }: Instance): Made {
  const root = (given.rootBlockDevice ?? {}) as Properties
  return {
    id,
    outputs: {
      ...given,
      tagsAll: given.tags ?? {},
      arn: arnOf('ec2', `instance/${id}`),
      availabilityZone: zone,
      region: localRegion,
      instanceState: state,
      instanceLifecycle: market === 'spot' ? 'spot' : '',
      publicIp: address ?? '',
      privateIp: address ?? '',
      publicDns: '',
      privateDns: '',
      rootBlockDevice: { ...root, volumeId: volume.id, deviceName: rootDevice },
    },
  }
}

const noInstance = (id: string): ApiError =>
  new ApiError(
    { doing: `updating EC2 Instance (${id})`, operation: 'ModifyInstanceAttribute' },
    'InvalidInstanceID.NotFound',
    `The instance ID '${id}' does not exist`,
  )
