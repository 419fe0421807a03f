import {
  DeleteKeyPairCommand,
  DeleteSecurityGroupCommand,
  DescribeImagesCommand,
  DescribeInstancesCommand,
  DescribeInstanceTypeOfferingsCommand,
  DescribeKeyPairsCommand,
  DescribeSecurityGroupsCommand,
  DescribeSpotPriceHistoryCommand,
  DescribeVolumesCommand,
  DescribeVpcsCommand,
  EC2Client,
  GetConsoleOutputCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startEc2 } from '../../../local/emulator/ec2.ts'
import { make, sampleCloud, sampleInstance, sampleNetwork } from './provider/samples.ts'

const cloud = sampleCloud()
let server: Awaited<ReturnType<typeof startEc2>>
let ec2: EC2Client
beforeAll(async () => {
  server = await startEc2(cloud)
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' }
  ec2 = new EC2Client({ endpoint: server.url, region: 'us-east-1', credentials, maxAttempts: 1 })
  cloud.state.putInstance(sampleInstance())
  cloud.state.putInstance(
    sampleInstance({
      id: 'i-0123456789abcdef1',
      tags: { 'bellows:deployment': 'other' },
      state: 'terminated',
      stateReason: 'Server.SpotInstanceTermination: Spot instance termination',
    }),
  )
})
afterAll(() => server.stop())

test('instances are found by tag and state, with all that is asked of them', async () => {
  const Filters = [
    { Name: 'tag:bellows:deployment', Values: ['te*'] },
    { Name: 'instance-state-name', Values: ['pending', 'running'] },
  ]
  const { Reservations } = await ec2.send(new DescribeInstancesCommand({ Filters }))
  expect(Reservations?.flatMap(({ Instances }) => Instances ?? [])).toMatchObject([
    {
      InstanceId: 'i-0123456789abcdef0',
      State: { Name: 'running', Code: 16 },
      PublicIpAddress: '203.0.113.1',
      InstanceLifecycle: 'spot',
      LaunchTime: expect.any(Date),
      Tags: expect.arrayContaining([{ Key: 'Name', Value: 'one <&> "two"' }]),
    },
  ])
})

test('the image says what its root disk is made from; any other does not exist', async () => {
  const ask = (...ImageIds: string[]) => ec2.send(new DescribeImagesCommand({ ImageIds }))
  expect((await ask('ami-0be11005000000001')).Images).toMatchObject([
    {
      State: 'available',
      RootDeviceName: '/dev/sda1',
      BlockDeviceMappings: [
        { DeviceName: '/dev/sda1', Ebs: { SnapshotId: 'snap-0be11005000000001', VolumeSize: 30 } },
      ],
    },
  ])
  await expect(ask('ami-0123456789abcdef0')).rejects.toMatchObject({ name: 'InvalidAMIID.NotFound' })
  await expect(ask('ami-latest')).rejects.toMatchObject({ name: 'InvalidAMIID.Malformed' })
})

test('a terminated instance stays visible with its reason, and has no disk', async () => {
  const { Reservations } = await ec2.send(
    new DescribeInstancesCommand({ InstanceIds: ['i-0123456789abcdef1'] }),
  )
  expect(Reservations?.[0]?.Instances?.[0]).toMatchObject({
    State: { Name: 'terminated' },
    StateReason: { Code: 'Server.SpotInstanceTermination' },
  })
  expect((await ec2.send(new DescribeVolumesCommand({}))).Volumes).toHaveLength(1)
})

test('what is wrong is refused by AWS’s codes', async () => {
  const refused = (command: unknown, name: string) =>
    expect(ec2.send(command as DescribeInstancesCommand)).rejects.toMatchObject({ name })
  await refused(
    new DescribeInstancesCommand({ InstanceIds: ['i-0123456789abcdef9'] }),
    'InvalidInstanceID.NotFound',
  )
  await refused(
    new GetConsoleOutputCommand({ InstanceId: 'i-0123456789abcdef9' }),
    'InvalidInstanceID.NotFound',
  )
  await refused(new TerminateInstancesCommand({ InstanceIds: ['machine'] }), 'InvalidInstanceID.Malformed')
  await refused(
    new DescribeInstancesCommand({ Filters: [{ Name: 'colour', Values: ['red'] }] }),
    'InvalidParameterValue',
  )
  await refused(new DeleteSecurityGroupCommand({ GroupId: 'sg-1' }), 'InvalidGroup.NotFound')
  await refused(new DescribeKeyPairsCommand({ KeyNames: ['nobody'] }), 'InvalidKeyPair.NotFound')
  await refused(new DescribeVpcsCommand({}), 'InvalidAction')
})

test('spot prices differ by zone, stay below the price on demand, and are the same when asked again', async () => {
  const ask = async () =>
    (
      await ec2.send(
        new DescribeSpotPriceHistoryCommand({ InstanceTypes: ['g6.xlarge'], StartTime: new Date() }),
      )
    ).SpotPriceHistory ?? []
  const prices = await ask()
  expect(new Set(prices.map((each) => each.SpotPrice)).size).toBe(3)
  for (const { SpotPrice } of prices) expect(Number(SpotPrice)).toBeLessThan(0.8)
  expect(await ask()).toEqual(prices)
})

test('a type is offered in the zones that have it', async () => {
  const { InstanceTypeOfferings } = await ec2.send(
    new DescribeInstanceTypeOfferingsCommand({
      LocationType: 'availability-zone',
      Filters: [{ Name: 'instance-type', Values: ['p5.4xlarge'] }],
    }),
  )
  expect(InstanceTypeOfferings?.map(({ Location }) => Location)).toEqual(['us-east-1b'])
})

test('key pairs and groups are found by tag and deleted; a group in use is not', async () => {
  const tags = { 'bellows:deployment': 'test' }
  await make(cloud, 'aws:ec2/keyPair:KeyPair', { keyName: 'one', publicKey: 'ssh-ed25519 AAAA', tags })
  const { groupId } = await sampleNetwork(cloud)
  const Filters = [{ Name: 'tag:bellows:deployment', Values: ['test'] }]
  expect((await ec2.send(new DescribeKeyPairsCommand({ Filters }))).KeyPairs).toMatchObject([
    { KeyName: 'one' },
  ])
  await ec2.send(new DeleteKeyPairCommand({ KeyName: 'one' }))
  await ec2.send(new DeleteKeyPairCommand({ KeyName: 'one' }))
  expect((await ec2.send(new DescribeKeyPairsCommand({ Filters }))).KeyPairs).toEqual([])

  const member = sampleInstance({ id: 'i-0123456789abcdef2', groupIds: [groupId] })
  cloud.state.putInstance(member)
  const remove = () => ec2.send(new DeleteSecurityGroupCommand({ GroupId: groupId }))
  await expect(remove()).rejects.toMatchObject({ name: 'DependencyViolation' })
  cloud.state.putInstance({ ...member, state: 'terminated' })
  await remove()
  expect((await ec2.send(new DescribeSecurityGroupsCommand({}))).SecurityGroups).toEqual([])
})
