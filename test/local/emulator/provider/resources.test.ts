import { beforeEach, describe, expect, test } from 'vitest'
import { imageId } from '../../../../local/emulator/ec2/catalog.ts'
import type { EmulatorState } from '../../../../local/emulator/provider/cloud.ts'
import { resourceTypes } from '../../../../local/emulator/provider/types/all.ts'
import { check } from '../../../../local/emulator/provider/wire.ts'
import { make, sampleCloud, sampleInstance, sampleNetwork } from './samples.ts'

const keyPair = 'aws:ec2/keyPair:KeyPair'
const group = 'aws:ec2/securityGroup:SecurityGroup'
const ingress = 'aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule'
const instance = 'aws:ec2/instance:Instance'
const bucket = 'cloudflare:index/r2Bucket:R2Bucket'
const accountId = '10ca110ca110ca110ca110ca110ca110'

let cloud: EmulatorState
beforeEach(() => {
  cloud = sampleCloud()
})

describe('inputs', () => {
  const mistakesOf = (type: string, inputs: Record<string, unknown>) =>
    check(resourceTypes.get(type)?.inputs as never, inputs).mistakes

  test.each([
    [
      'a property that the type has not',
      keyPair,
      { keyName: 'a', publicKey: 'ssh-ed25519 AAAA', colour: 'red' },
    ],
    ['a required property that is missing', keyPair, { keyName: 'a' }],
    ['a key of another format', keyPair, { keyName: 'a', publicKey: '-----BEGIN PUBLIC KEY-----' }],
    [
      'a value that is none of the allowed ones',
      bucket,
      { accountId, name: 'models', storageClass: 'Cheap' },
    ],
    ['a bucket name with capitals', bucket, { accountId, name: 'Models' }],
    ['a rule without ports', ingress, { securityGroupId: 'sg-1', ipProtocol: 'tcp', cidrIpv4: '0.0.0.0/0' }],
    [
      'a network with bits beyond its prefix',
      ingress,
      { securityGroupId: 'sg-1', ipProtocol: '-1', cidrIpv4: '203.0.113.1/24' },
    ],
    ['a tag that AWS keeps for itself', group, { name: 'a', vpcId: 'vpc-1', tags: { 'aws:name': 'x' } }],
    ['a group description that EC2 does not take', group, { name: 'a', vpcId: 'vpc-1', description: 'it’s' }],
  ])('%s is a mistake', (_, type, inputs) => {
    expect(mistakesOf(type, inputs)).not.toEqual([])
  })

  test('what a preview does not know yet is no mistake, what it knows is', () => {
    const unknown = '04da6b54-80e4-46f7-96ec-b56ff0331ba9'
    const inputs = {
      securityGroupId: unknown,
      ipProtocol: unknown,
      fromPort: unknown,
      toPort: 22,
      cidrIpv4: 'all',
    }
    expect(mistakesOf(ingress, inputs).map(({ property }) => property)).toEqual(['cidrIpv4'])
  })
})

describe('resources', () => {
  test('two key pairs of one name are refused', async () => {
    const inputs = { keyName: 'one', publicKey: 'ssh-ed25519 AAAA' }
    await make(cloud, keyPair, inputs)
    await expect(make(cloud, keyPair, inputs)).rejects.toThrow(
      /ImportKeyPair, .* api error InvalidKeyPair\.Duplicate: The keypair already exists/,
    )
  })

  test('a group that a machine is in cannot be deleted, and one of a terminated machine can', async () => {
    const { groupId } = await sampleNetwork(cloud)
    cloud.state.putInstance(sampleInstance({ groupIds: [groupId] }))
    const remove = () => resourceTypes.get(group)?.delete(groupId, cloud)
    await expect(remove()).rejects.toThrow(
      /api error DependencyViolation: resource sg-\w+ has a dependent object/,
    )
    cloud.state.putInstance(sampleInstance({ groupIds: [groupId], state: 'terminated' }))
    await remove()
    expect(cloud.state.resources(group)).toEqual([])
  })

  test('two buckets of one name are refused in Cloudflare’s words', async () => {
    await make(cloud, bucket, { accountId, name: 'models' })
    await expect(make(cloud, bucket, { accountId, name: 'models' })).rejects.toThrow(/409 .*10004/)
  })
})

describe('an order of a machine', () => {
  const order = async (change: Record<string, unknown> = {}) => {
    const { subnetId, groupId } = await sampleNetwork(cloud)
    const inputs = { ami: imageId, instanceType: 'g6.xlarge', subnetId, vpcSecurityGroupIds: [groupId] }
    return make(cloud, instance, { ...inputs, ...change })
  }

  test.each([
    ['a malformed image', { ami: 'ami-latest' }, 'InvalidAMIID.Malformed'],
    ['an image that does not exist', { ami: 'ami-0123456789abcdef0' }, 'InvalidAMIID.NotFound'],
    ['a subnet that does not exist', { subnetId: 'subnet-1' }, 'InvalidSubnetID.NotFound'],
    ['a subnet of another zone', { availabilityZone: 'us-east-1b' }, 'InvalidParameterValue'],
    ['a group that does not exist', { vpcSecurityGroupIds: ['sg-1'] }, 'InvalidGroup.NotFound'],
    ['a key pair that does not exist', { keyName: 'nobody' }, 'InvalidKeyPair.NotFound'],
    ['a profile that does not exist', { iamInstanceProfile: 'nobody' }, 'InvalidParameterValue'],
    ['a type that does not exist', { instanceType: 'g99.xlarge' }, 'InvalidParameterValue'],
    ['a type that the zone lacks', { instanceType: 'p5.4xlarge' }, 'Unsupported'],
    ['more user data than EC2 takes', { userData: '#'.repeat(16_385) }, 'InvalidParameterValue'],
    [
      'a disk that the image’s snapshot does not fit on',
      { rootBlockDevice: { volumeSize: 29 } },
      'InvalidBlockDeviceMapping',
    ],
  ])('with %s is refused', async (_, change, code) => {
    await expect(order(change)).rejects.toMatchObject({ code })
    expect(cloud.instances.list()).toEqual([])
  })

  test('names the snapshot that the disk is too small for, in AWS’s words', async () => {
    await expect(order({ rootBlockDevice: { volumeSize: 8 } })).rejects.toThrow(
      "api error InvalidBlockDeviceMapping: Volume of size 8GB is smaller than snapshot 'snap-0be11005000000001', expect size >= 30GB",
    )
  })

  test('is refused where the zone has no capacity, as often as was staged', async () => {
    const { subnetId } = await sampleNetwork(cloud)
    const place = { type: 'g6.xlarge', zone: 'us-east-1a', market: 'on-demand', subnetId } as const
    cloud.faults.stage({ kind: 'refuse', code: 'InsufficientInstanceCapacity', zone: 'us-east-1b' })
    cloud.faults.stage({ kind: 'refuse', code: 'InsufficientInstanceCapacity', zone: 'us-east-1a', times: 2 })
    const wanted = { ...sampleInstance(), ...place, userData: '' }
    for (const left of [2, 1]) {
      await expect(cloud.instances.run(wanted)).rejects.toMatchObject({
        code: 'InsufficientInstanceCapacity',
      })
      expect(cloud.faults.list()).toHaveLength(left)
    }
  })

  test('is refused beyond the quota of its market only', async () => {
    cloud.state.putInstance(sampleInstance())
    cloud.faults.stage({ kind: 'quota', market: 'spot', vcpus: 4 })
    cloud.faults.stage({ kind: 'quota', market: 'on-demand', vcpus: 0 })
    const wanted = { ...sampleInstance(), userData: '' }
    await expect(cloud.instances.run(wanted)).rejects.toMatchObject({ code: 'MaxSpotInstanceCountExceeded' })
    await expect(cloud.instances.run({ ...wanted, market: 'on-demand' })).rejects.toMatchObject({
      code: 'VcpuLimitExceeded',
      message: expect.stringContaining('more vCPU capacity than your current vCPU limit of 0 allows'),
    })
  })
})
