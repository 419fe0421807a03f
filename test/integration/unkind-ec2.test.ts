/** Orders and releases, by the real engine, on an emulator that answers as late and as wrapped as EC2 does. */
import { DescribeInstancesCommand, DescribeSecurityGroupsCommand } from '@aws-sdk/client-ec2'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { pulumiMachines } from '../../src/cloud/aws/machines.ts'
import type { MachineOrder, Machines } from '../../src/cloud/machines.ts'
import type { Stacks } from '../../src/cloud/pulumi/stacks.ts'
import { offer } from '../cloud/samples.ts'
import { type Emulator, keysOf, startEmulator } from './emulator.ts'
import { engine } from './engine.ts'

const deployment = `test-unkind-${process.pid}`
const minutes = 60_000
let emulator: Emulator
let machines: Machines

beforeAll(async () => {
  emulator = await startEmulator(deployment)
  machines = machinesOf(deployment, emulator.stacks)
})

function machinesOf(of: string, stacks: Stacks): Machines {
  const { vpcId, subnets, securityGroupId, instanceProfile, imageId } = emulator.base.outputs
  return pulumiMachines({
    deployment: of,
    stacks,
    bases: [
      { region: 'us-east-1', ec2: emulator.ec2, vpcId, subnets, securityGroupId, instanceProfile, imageId },
    ],
    keys: keysOf,
    loginUser: 'ubuntu',
    workerNetworks: [`${emulator.provider.gateway}/32`],
    market: { market: 'spot-first' },
  })
}
afterAll(() => emulator?.remove(), 2 * minutes)
afterEach(() => emulator.provider.faults.clear())

let orders = 0
function newOrder(): MachineOrder {
  const trainingId = `665f1c2ab7d4e8a1c0de${String(++orders).padStart(4, '0')}`
  return {
    name: `bellows-${trainingId}-1`,
    trainingId,
    attempt: 1,
    offer: offer(),
    diskGb: 50,
    lifetimeSeconds: 3_600,
    deadline: new Date(Date.now() + 3_900_000),
  }
}
const order = (wanted: MachineOrder) => machines.order(wanted, new AbortController().signal)

test('a market without capacity is asked three times, by the provider, and then is one', {
  timeout: 2 * minutes,
}, async () => {
  const { faults } = emulator.provider
  faults.stage({ kind: 'refuse', code: 'InsufficientInstanceCapacity', times: 3 })
  const wanted = newOrder()
  await expect(order(wanted)).rejects.toMatchObject({
    reason: 'no-capacity',
    message:
      'g6.xlarge (spot) in us-east-1a: none is free there at the moment (InsufficientInstanceCapacity)',
    evidence: expect.stringContaining('exceeded maximum number of attempts, 3, '),
  })
  expect(faults.list()).toEqual([])
  expect(await machines.release(wanted.name)).toEqual({ launchedAt: undefined })
})

test('a machine whose tags EC2 shows late is ordered once, paid from its launch, and goes', {
  timeout: 2 * minutes,
}, async () => {
  const fault = emulator.provider.faults.stage({ kind: 'late', what: 'tags', seconds: 600 })
  const wanted = newOrder()
  const { instanceId, launchedAt } = await order(wanted)
  expect(launchedAt).toEqual((await emulator.describe(instanceId))?.LaunchTime)
  // Another worker goes on with the order before the tags are there, whether or not the machine's id was noted.
  expect(await machines.state(wanted.name, instanceId)).toEqual({ state: 'running', instanceId })
  expect(await order({ ...wanted, instanceId })).toMatchObject({ instanceId, launchedAt })
  expect(await order(wanted)).toMatchObject({ instanceId })
  emulator.provider.faults.clear(fault)
  expect(await machines.release(wanted.name)).toEqual({ launchedAt })
  expect((await emulator.describe(instanceId))?.State?.Name).toBe('terminated')
})

test('a machine that EC2 does not know yet is found all the same', { timeout: 2 * minutes }, async () => {
  const { faults } = emulator.provider
  const fault = faults.stage({ kind: 'late', what: 'instance', seconds: 600 })
  const wanted = newOrder()
  const { instanceId } = await order(wanted)
  await expect(
    emulator.ec2.send(new DescribeInstancesCommand({ InstanceIds: [instanceId] })),
  ).rejects.toMatchObject({ name: 'InvalidInstanceID.NotFound' })
  await machines.release(wanted.name)
  faults.clear(fault)
  expect((await emulator.describe(instanceId))?.State?.Name).toBe('terminated')
})

test('what an engine made and never wrote down is removed, and the order goes on', {
  timeout: 2 * minutes,
}, async () => {
  const resource = 'aws:ec2/keyPair:KeyPair'
  emulator.provider.faults.stage({ kind: 'fail', resource, operation: 'create', moment: 'after', times: 1 })
  const wanted = newOrder()
  await expect(order(wanted)).rejects.toMatchObject({ reason: 'internal' })
  await order(wanted)
  await machines.release(wanted.name)
  expect(await machines.existing()).toEqual([])
})

test('a group that is held for a while goes, by the engine and without it', {
  timeout: 2 * minutes,
}, async () => {
  const { faults } = emulator.provider
  const [one, other] = [newOrder(), newOrder()]
  await order(one)
  faults.stage({ kind: 'held', times: 3 })
  await machines.release(one.name)
  expect(faults.list()).toEqual([])

  // The engine makes the group and dies: no stack knows it.
  const resource = 'aws:ec2/securityGroup:SecurityGroup'
  faults.stage({ kind: 'fail', resource, operation: 'create', moment: 'after', times: 1 })
  await expect(order(other)).rejects.toMatchObject({ reason: 'internal' })
  faults.stage({ kind: 'held', times: 3 })
  await machines.release(other.name)
  expect(faults.list()).toEqual([])
  const named = { Filters: [{ Name: 'tag:Name', Values: [other.name] }] }
  expect((await emulator.ec2.send(new DescribeSecurityGroupsCommand(named))).SecurityGroups).toEqual([])
})

test('two deployments in one account train the same training, and neither sees the other’s machine', {
  timeout: 3 * minutes,
}, async () => {
  const { port } = emulator.provider
  // An administrator's, since the base's policy is for the other deployment.
  using real = engine({
    project: 'bellows',
    program: new URL('../../infra/gpu-vm.ts', import.meta.url),
    environment: { PULUMI_DEBUG_PROVIDERS: `aws:${port},cloudflare:${port}` },
  })
  const others = machinesOf('another', real.stacks)
  const wanted = newOrder()
  const [mine, theirs] = [await order(wanted), await others.order(wanted, new AbortController().signal)]
  expect(theirs.instanceId).not.toBe(mine.instanceId)
  expect((await machines.existing()).find(({ kind }) => kind === 'instance')?.id).toBe(mine.instanceId)
  expect((await others.existing()).find(({ kind }) => kind === 'instance')?.id).toBe(theirs.instanceId)
  await machines.release(wanted.name)
  expect((await emulator.describe(theirs.instanceId))?.State?.Name).toBe('running')
  await real.stacks.destroy(wanted.name)
  expect((await emulator.describe(theirs.instanceId))?.State?.Name).toBe('terminated')
})

test('a machine that never runs is no capacity, and is ended', { timeout: 2 * minutes }, async () => {
  emulator.provider.faults.stage({ kind: 'never-runs', times: 1 })
  const wanted = newOrder()
  await expect(order(wanted)).rejects.toMatchObject({ reason: 'no-capacity' })
  expect(await machines.state(wanted.name)).toMatchObject({ state: 'pending' })
  await machines.release(wanted.name)
  expect(await machines.state(wanted.name)).toMatchObject({ state: 'terminated' })
  expect(await machines.existing()).toEqual([])
})
