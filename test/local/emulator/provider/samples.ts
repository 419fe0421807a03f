/** The emulator without machines and without a store: all that is refused before either is touched. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { administrator } from '../../../../local/emulator/ec2/caller.ts'
import { imageId } from '../../../../local/emulator/ec2/catalog.ts'
import { Instances } from '../../../../local/emulator/ec2/instances.ts'
import type { EmulatorState } from '../../../../local/emulator/provider/cloud.ts'
import { Faults } from '../../../../local/emulator/provider/faults.ts'
import { type Instance, type Properties, State } from '../../../../local/emulator/provider/state.ts'
import { resourceTypes } from '../../../../local/emulator/provider/types/all.ts'
import { check } from '../../../../local/emulator/provider/wire.ts'

const folder = mkdtempSync(join(tmpdir(), 'bellows-clouds-'))
afterAll(() => rmSync(folder, { recursive: true }))

let clouds = 0

export function sampleCloud(): EmulatorState {
  const state = new State(samplePath())
  const faults = new Faults()
  const buckets = new Set<string>()
  return {
    state,
    faults,
    caller: administrator,
    instances: new Instances({
      deployment: 'test',
      machineImage: 'none',
      network: 'none',
      state,
      faults,
      ingressOf: () => [],
      publicKeyOf: () => undefined,
      onTrouble: (message, error) => {
        throw new Error(message, { cause: error })
      },
    }),
    buckets: {
      exists: async (name) => buckets.has(name),
      create: async (name) => void buckets.add(name),
      isEmpty: async () => true,
      remove: async (name) => void buckets.delete(name),
    },
  }
}

/** Checks the inputs and makes the resource, as the engine has it done. */
export async function make(cloud: EmulatorState, type: string, given: Properties): Promise<string> {
  const resourceType = resourceTypes.get(type)
  if (!resourceType) throw new Error(`no such type: ${type}`)
  const { mistakes, inputs } = check(resourceType.inputs, given)
  if (mistakes.length > 0)
    throw new Error(mistakes.map((each) => `${each.property}: ${each.reason}`).join('; '))
  return (await resourceType.create(inputs, cloud)).id
}

export async function sampleNetwork(cloud: EmulatorState) {
  const vpcId = await make(cloud, 'aws:ec2/vpc:Vpc', { cidrBlock: '10.77.0.0/16' })
  const subnet = { vpcId, availabilityZone: 'us-east-1a', cidrBlock: '10.77.0.0/20' }
  const subnetId = await make(cloud, 'aws:ec2/subnet:Subnet', subnet)
  const groupId = await make(cloud, 'aws:ec2/securityGroup:SecurityGroup', { name: 'machines', vpcId })
  return { vpcId, subnetId, groupId }
}

/** A place for a state file of its own. */
export const samplePath = (): string => join(folder, String(++clouds), 'clouds.json')

export function sampleInstance(change: Partial<Instance> = {}): Instance {
  return {
    id: 'i-0123456789abcdef0',
    inputs: {},
    type: 'g6.xlarge',
    zone: 'us-east-1a',
    imageId,
    subnetId: 'subnet-1',
    vpcId: 'vpc-1',
    keyName: 'key',
    groupIds: [],
    market: 'spot',
    shutdownBehavior: 'terminate',
    tags: { 'bellows:deployment': 'test', Name: 'one <&> "two"' },
    volume: { id: 'vol-0123', gb: 50, tags: { 'bellows:deployment': 'test' } },
    state: 'running',
    address: '203.0.113.1',
    launchedAt: new Date().toISOString(),
    ...change,
  }
}
