/** The calls of the EC2 API that the offers and the reaper make: what each answers, over the same state. */
import type { EmulatorState } from '../provider/cloud.ts'
import { type Instance, tagsOf } from '../provider/state.ts'
import { keyPair, keyPairType } from '../provider/types/key-pair.ts'
import { groupType, securityGroup } from '../provider/types/security-group.ts'
import {
  accountId,
  catalog,
  imageId,
  imageSnapshot,
  rootDevice,
  spotPrice,
  zones,
  zonesOf,
} from './catalog.ts'
import { isAt } from './instances.ts'
import type { Query } from './query.ts'
import { tagSet, type Xml } from './xml.ts'

type Action = (query: Query, cloud: EmulatorState) => Xml | Promise<Xml>

const stateCodes = {
  pending: 0,
  running: 16,
  'shutting-down': 32,
  terminated: 48,
  stopping: 64,
  stopped: 80,
} as const

export const actions: Readonly<Record<string, Action>> = {
  DescribeInstances(query, { instances }) {
    const wanted = query.list('InstanceId')
    const found = instances.shown().filter((each) => wanted.length === 0 || wanted.includes(each.id))
    refuseUnknown(query, 'InvalidInstanceID', 'instance', wanted, found)
    const fitting = found.filter((each) => query.fits(each.tags, fieldsOf(each)))
    return {
      reservationSet: fitting.map((each) => ({
        reservationId: each.id.replace('i-', 'r-'),
        ownerId: accountId,
        instancesSet: [describe(each)],
      })),
    }
  },

  async TerminateInstances(query, { instances, faults }) {
    const wanted = query.list('InstanceId')
    if (wanted.length === 0) query.required('InstanceId.1')
    const found = instances.list().filter((each) => wanted.includes(each.id))
    refuseUnknown(query, 'InvalidInstanceID', 'instance', wanted, found)
    const refused = faults.matchFault('refuse-end', (fault) => found.some((each) => isAt(fault, each)))
    if (refused) throw query.refusal(refused.code, refused.message ?? 'You may not end this instance.')
    // EC2 answers at once and goes on by itself.
    for (const { id } of found)
      instances.terminate(id).catch((error) => console.error(`${id} is not gone`, error))
    return {
      instancesSet: found.map(({ id, state }) => ({
        instanceId: id,
        currentState: stateOf(instances.find(id)?.state ?? 'terminated'),
        previousState: stateOf(state),
      })),
    }
  },

  async GetConsoleOutput(query, { instances }) {
    const id = query.required('InstanceId')
    refuseUnknown(query, 'InvalidInstanceID', 'instance', [id], instances.list())
    const output = (await instances.console(id)).toString('base64')
    return { instanceId: id, timestamp: new Date(), ...(output && { output }) }
  },

  DescribeImages(query) {
    const wanted = query.list('ImageId')
    const malformed = wanted.find((id) => !/^ami-[0-9a-f]{8,17}$/.test(id))
    if (malformed) throw query.refusal('InvalidAMIID.Malformed', `Invalid id: "${malformed}"`)
    const missing = wanted.filter((id) => id !== imageId)
    if (missing.length > 0)
      throw query.refusal('InvalidAMIID.NotFound', `The image id '[${missing.join(', ')}]' does not exist`)
    const { id: snapshotId, gb: volumeSize } = imageSnapshot
    const image = {
      imageId,
      imageState: 'available',
      architecture: 'x86_64',
      rootDeviceType: 'ebs',
      rootDeviceName: rootDevice,
      blockDeviceMapping: [{ deviceName: rootDevice, ebs: { snapshotId, volumeSize, volumeType: 'gp3' } }],
    }
    return { imagesSet: query.fits({}, { 'image-id': imageId, state: 'available' }) ? [image] : [] }
  },

  DescribeSpotPriceHistory(query) {
    const types = query.list('InstanceType')
    const products = query.list('ProductDescription')
    const start = new Date(query.text('StartTime') ?? Date.now())
    if (Number.isNaN(start.getTime())) throw query.refusal('InvalidParameterValue', 'StartTime is no time')
    const unknown = types.find((type) => !(type in catalog))
    if (unknown) throw query.refusal('InvalidParameterValue', `Invalid instance type: ${unknown}`)
    const offered = products.length === 0 || products.includes('Linux/UNIX')
    const places = Object.keys(catalog)
      .filter((type) => offered && (types.length === 0 || types.includes(type)))
      .flatMap((type) => zonesOf(type).map((zone) => ({ type, zone })))
    return {
      spotPriceHistorySet: places.map(({ type, zone }) => {
        const { usdPerHour, since } = spotPrice(type, zone, new Date())
        return {
          instanceType: type,
          productDescription: 'Linux/UNIX',
          spotPrice: usdPerHour.toFixed(6),
          timestamp: since,
          availabilityZone: zone,
        }
      }),
    }
  },

  DescribeInstanceTypeOfferings(query) {
    const byZone = query.text('LocationType') === 'availability-zone'
    const places = Object.keys(catalog).flatMap((type) =>
      (byZone ? zonesOf(type) : zones.slice(0, 1).map((zone) => zone.slice(0, -1))).map((location) => ({
        instanceType: type,
        locationType: byZone ? 'availability-zone' : 'region',
        location,
      })),
    )
    return {
      instanceTypeOfferingSet: places.filter(({ instanceType, location }) =>
        query.fits({}, { 'instance-type': instanceType, location }),
      ),
    }
  },

  DescribeVolumes(query, { instances }) {
    const volumes = instances.list().filter(({ state }) => state !== 'terminated')
    return {
      volumeSet: volumes
        .filter(({ id, volume }) =>
          query.fits(volume.tags, { 'volume-id': volume.id, 'attachment.instance-id': id, status: 'in-use' }),
        )
        .map(({ volume, zone, launchedAt }) => ({
          volumeId: volume.id,
          size: volume.gb,
          availabilityZone: zone,
          status: 'in-use',
          createTime: launchedAt,
          tagSet: tagSet(volume.tags),
        })),
    }
  },

  DeleteVolume(query, { instances }) {
    const id = query.required('VolumeId')
    const holder = instances.list().find(({ volume, state }) => volume.id === id && state !== 'terminated')
    // The only volumes here are those of machines.
    if (holder) throw query.refusal('VolumeInUse', `Volume ${id} is currently attached to ${holder.id}`)
    throw query.refusal('InvalidVolume.NotFound', `The volume '${id}' does not exist.`)
  },

  DescribeKeyPairs(query, { state }) {
    const wanted = query.list('KeyName')
    const found = state.resources(keyPairType).filter(({ id }) => wanted.length === 0 || wanted.includes(id))
    const missing = wanted.find((name) => !found.some(({ id }) => id === name))
    if (missing) throw query.refusal('InvalidKeyPair.NotFound', `The key pair '${missing}' does not exist`)
    return {
      keySet: found
        .filter((each) => query.fits(tagsOf(each), { 'key-name': each.id }))
        .map((each) => ({
          keyPairId: String(each.outputs.keyPairId),
          keyName: each.id,
          keyFingerprint: String(each.outputs.fingerprint),
          keyType: String(each.outputs.keyType),
          createTime: each.createdAt,
          tagSet: tagSet(tagsOf(each)),
        })),
    }
  },

  async DeleteKeyPair(query, cloud) {
    const pairs = cloud.state.resources(keyPairType)
    const id = query.text('KeyPairId')
    const name = id ? pairs.find(({ outputs }) => outputs.keyPairId === id)?.id : query.required('KeyName')
    // EC2 does not mind a pair that isn't there.
    if (name) await keyPair.delete(name, cloud)
    return { return: true }
  },

  DescribeSecurityGroups(query, { state }) {
    const wanted = query.list('GroupId')
    const found = state.resources(groupType).filter(({ id }) => wanted.length === 0 || wanted.includes(id))
    const missing = wanted.find((group) => !found.some(({ id }) => id === group))
    if (missing)
      throw query.refusal('InvalidGroup.NotFound', `The security group '${missing}' does not exist`)
    return {
      securityGroupInfo: found
        .map((each) => ({ each, name: String(each.inputs.name), vpcId: String(each.inputs.vpcId) }))
        .filter(({ each, name, vpcId }) =>
          query.fits(tagsOf(each), { 'group-id': each.id, 'group-name': name, 'vpc-id': vpcId }),
        )
        .map(({ each, name, vpcId }) => ({
          groupId: each.id,
          groupName: name,
          groupDescription: String(each.inputs.description),
          vpcId,
          ownerId: accountId,
          tagSet: tagSet(tagsOf(each)),
        })),
    }
  },

  async DeleteSecurityGroup(query, cloud) {
    const id = query.required('GroupId')
    if (!cloud.state.resource(groupType, id)) {
      throw query.refusal('InvalidGroup.NotFound', `The security group '${id}' does not exist`)
    }
    await securityGroup.delete(id, cloud)
    return { return: true, groupId: id }
  },
}

function refuseUnknown(
  query: Query,
  code: string,
  noun: string,
  wanted: readonly string[],
  found: readonly { readonly id: string }[],
): void {
  const missing = wanted.filter((id) => !found.some((each) => each.id === id))
  const malformed = missing.find((id) => !/^i-[0-9a-f]{8,17}$/.test(id))
  if (malformed) throw query.refusal(`${code}.Malformed`, `Invalid id: "${malformed}"`)
  if (missing.length > 0) {
    throw query.refusal(`${code}.NotFound`, `The ${noun} ID '${missing.join(', ')}' does not exist`)
  }
}

const stateOf = (name: Instance['state']): Xml => ({ code: stateCodes[name], name })

const fieldsOf = (instance: Instance): Readonly<Record<string, string>> => ({
  'instance-id': instance.id,
  'instance-state-name': instance.state,
  'instance-type': instance.type,
  'instance-lifecycle': instance.market === 'spot' ? 'spot' : '',
  'availability-zone': instance.zone,
  'key-name': instance.keyName ?? '',
})

function describe(instance: Instance): Xml {
  const { stateReason, volume } = instance
  const code = stateReason?.split(':', 1)[0]
  return {
    instanceId: instance.id,
    imageId: instance.imageId,
    instanceState: stateOf(instance.state),
    instanceType: instance.type,
    launchTime: instance.launchedAt,
    keyName: instance.keyName,
    placement: { availabilityZone: instance.zone, tenancy: 'default' },
    subnetId: instance.subnetId,
    vpcId: instance.vpcId,
    ipAddress: instance.address,
    privateIpAddress: instance.address,
    groupSet: instance.groupIds.map((groupId) => ({ groupId })),
    ...(instance.market === 'spot' && { instanceLifecycle: 'spot' }),
    ...(stateReason !== undefined && { stateReason: { code, message: stateReason }, reason: stateReason }),
    ...(instance.state !== 'terminated' && {
      blockDeviceMapping: [{ deviceName: rootDevice, ebs: { volumeId: volume.id, status: 'attached' } }],
    }),
    tagSet: tagSet(instance.tags),
  }
}
