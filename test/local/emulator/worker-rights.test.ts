/** A machine's life with the worker's policy, as the emulator decides by it: with each right, and without. */
import {
  type EC2Client as Client,
  DeleteSecurityGroupCommand,
  DeleteVolumeCommand,
  DescribeInstancesCommand,
  EC2Client,
  GetConsoleOutputCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import { afterEach, expect, test, vi } from 'vitest'
import { type Right, workerPolicy, workerRights, workerRoleName } from '../../../infra/worker-rights.ts'
import {
  administrator,
  policyAttachmentType,
  policyType,
  worker,
} from '../../../local/emulator/ec2/caller.ts'
import { imageId } from '../../../local/emulator/ec2/catalog.ts'
import { startEc2 } from '../../../local/emulator/ec2.ts'
import type { EmulatorState } from '../../../local/emulator/provider/cloud.ts'
import { resourceTypes } from '../../../local/emulator/provider/types/all.ts'
import { make, sampleCloud, sampleInstance } from './provider/samples.ts'

const deployment = 'test'
const tags = { 'bellows:deployment': deployment, 'bellows:job': 'one' }
const group = 'aws:ec2/securityGroup:SecurityGroup'
const keyPair = 'aws:ec2/keyPair:KeyPair'
const ingress = 'aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule'
const instance = 'aws:ec2/instance:Instance'

const cleanup: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const undo of cleanup.splice(0)) await undo()
})

/** The base, the worker's policy, and machines that are rows of the state only. */
async function setUp(rights: readonly Right[] = workerRights, baseTags: Record<string, string> = tags) {
  const cloud = sampleCloud()
  const { state, instances } = cloud
  const vpcId = await make(cloud, 'aws:ec2/vpc:Vpc', { cidrBlock: '10.77.0.0/16', tags: baseTags })
  const zone = { vpcId, availabilityZone: 'us-east-1a', cidrBlock: '10.77.0.0/20', tags: baseTags }
  const subnetId = await make(cloud, 'aws:ec2/subnet:Subnet', zone)
  const groupId = await make(cloud, group, { name: 'machines', vpcId, tags: baseTags })
  for (const name of ['bellows-test-machine', workerRoleName(deployment)])
    await make(cloud, 'aws:iam/role:Role', { name, assumeRolePolicy: '{}' })
  const profile = 'bellows-test-machine'
  await make(cloud, 'aws:iam/instanceProfile:InstanceProfile', { name: profile, role: profile })
  const policy = JSON.stringify(workerPolicy({ deployment, regions: ['us-east-1'] }, rights))
  const policyArn = await make(cloud, policyType, { name: workerRoleName(deployment), policy })
  await make(cloud, policyAttachmentType, { role: workerRoleName(deployment), policyArn })
  vi.spyOn(instances, 'run').mockImplementation(async (order) => {
    const machine = { ...sampleInstance(), ...order, id: `i-0${'1'.repeat(16)}` }
    const launched = { ...machine, volume: { ...order.volume, id: 'vol-1' } }
    state.putInstance(launched)
    return launched
  })
  vi.spyOn(instances, 'terminate').mockImplementation(async (id) => {
    const machine = instances.find(id)
    if (machine) state.putInstance({ ...machine, state: 'terminated' })
  })
  vi.spyOn(instances, 'console').mockResolvedValue(Buffer.from('it boots'))
  vi.spyOn(instances, 'applyGroup').mockResolvedValue()
  const server = await startEc2(cloud)
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' }
  const ec2 = new EC2Client({ endpoint: server.url, region: 'us-east-1', credentials, maxAttempts: 1 })
  cleanup.push(server.stop)
  return { cloud: { ...cloud, caller: worker(state) }, ec2, vpcId, subnetId, groupId, profile }
}

type World = Awaited<ReturnType<typeof setUp>>

/** As infra/gpu-vm.ts declares it. */
async function order({ cloud, vpcId, subnetId, groupId, profile }: World, its = tags) {
  const name = 'bellows-one-1'
  await make(cloud, keyPair, { keyName: name, publicKey: 'ssh-ed25519 AAAA', tags: its })
  const own = await make(cloud, group, { name, vpcId, tags: its })
  const door = { securityGroupId: own, ipProtocol: 'tcp', fromPort: 22, toPort: 22, tags: its }
  const rule = await make(cloud, ingress, { ...door, cidrIpv4: '203.0.113.5/32' })
  const machine = await make(cloud, instance, {
    ...{ ami: imageId, instanceType: 'g6.xlarge', subnetId, keyName: name, iamInstanceProfile: profile },
    vpcSecurityGroupIds: [groupId, own],
    instanceMarketOptions: { marketType: 'spot' },
    volumeTags: its,
    tags: its,
  })
  return { name, own, rule, machine }
}

const remove = (cloud: EmulatorState, type: string, id: string) => resourceTypes.get(type)?.delete(id, cloud)

async function live(world: World): Promise<void> {
  const { cloud, ec2 } = world
  const { name, own, rule, machine } = await order(world)
  await look(ec2, machine)
  await ec2.send(new DeleteVolumeCommand({ VolumeId: 'vol-1' })).catch(ignoreUse)
  await remove(cloud, instance, machine)
  await remove(cloud, keyPair, name)
  await remove(cloud, ingress, rule)
  await remove(cloud, group, own)
}

async function look(ec2: Client, machine: string) {
  await ec2.send(new DescribeInstancesCommand({ InstanceIds: [machine] }))
  await ec2.send(new GetConsoleOutputCommand({ InstanceId: machine }))
}

function ignoreUse(error: Error): void {
  if (error.name !== 'VolumeInUse') throw error
}

test('with its rights a worker makes a machine, looks at it and removes all of it', async () => {
  const world = await setUp()
  await live(world)
  expect(world.cloud.state.resources(keyPair)).toEqual([])
  expect(world.cloud.state.resources(group)).toHaveLength(1)
  expect(world.cloud.instances.list()).toMatchObject([{ state: 'terminated' }])
})

/** A registry is asked by the worker and the machine, with no part of the emulator between. */
const rows = workerRights
  .filter(({ action }) => !action.startsWith('ecr:'))
  .map((right) => [`${right.action} (${right.on?.join(', ') ?? 'all'})`, right] as const)

test.each(rows)(
  'without %s the order or its end is refused, and the refusal names the right',
  async (_, right) => {
    const world = await setUp(workerRights.filter((each) => each !== right))
    const named = right.action.replace('*', '\\w+')
    await expect(live(world)).rejects.toThrow(
      new RegExp(
        `User: arn:aws:sts::\\d+:assumed-role/bellows-test-worker/.* is not authorized to perform: ${named} .*because no identity-based policy allows the ${named} action`,
      ),
    )
  },
)

test('a refusal is AWS’s: its code, its status, and the resource', async () => {
  const { ec2, cloud } = await setUp()
  cloud.state.putInstance(sampleInstance({ tags: { 'bellows:deployment': 'other' } }))
  const ending = ec2.send(new TerminateInstancesCommand({ InstanceIds: ['i-0123456789abcdef0'] }))
  await expect(ending).rejects.toMatchObject({
    name: 'UnauthorizedOperation',
    $metadata: { httpStatusCode: 403 },
    message: expect.stringContaining(
      'on resource: arn:aws:ec2:us-east-1:000000000000:instance/i-0123456789abcdef0 because',
    ),
  })
})

test('what is not ours is neither ended nor changed, and nothing is made without our tag or elsewhere', async () => {
  const refused = (work: Promise<unknown>, action: string) =>
    expect(work).rejects.toThrow(`not authorized to perform: ${action}`)
  const ours = await setUp()
  const other = { 'bellows:deployment': 'other', 'bellows:job': 'one' }
  await refused(order(ours, other), 'ec2:ImportKeyPair')
  const { cloud, ec2 } = ours
  const foreign = { ...cloud, caller: administrator }
  const { name, rule, machine, own } = await order({ ...ours, cloud: foreign }, other)
  await refused(Promise.resolve(remove(cloud, instance, machine)), 'ec2:TerminateInstances')
  await refused(Promise.resolve(remove(cloud, keyPair, name)), 'ec2:DeleteKeyPair')
  await refused(Promise.resolve(remove(cloud, ingress, rule)), 'ec2:RevokeSecurityGroupIngress')
  await refused(ec2.send(new DeleteSecurityGroupCommand({ GroupId: own })), 'ec2:DeleteSecurityGroup')
  await refused(ec2.send(new GetConsoleOutputCommand({ InstanceId: machine })), 'ec2:GetConsoleOutput')

  await refused(order(await setUp(workerRights, other)), 'ec2:CreateSecurityGroup')
  await refused(order({ ...(await setUp()), profile: 'administrator' }), 'iam:PassRole')
})
