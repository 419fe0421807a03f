/**
 * What exists in one region under a deployment's tags, seen and removed through the EC2 API: the truth
 * that the engine's state is compared with, and the quickest way to stop a machine from costing money.
 * `infra/gpu-vm.ts` gives the tags; what carries no `bellows:job` belongs to the base and is not seen here.
 */
import {
  DeleteKeyPairCommand,
  DeleteSecurityGroupCommand,
  DeleteVolumeCommand,
  DescribeKeyPairsCommand,
  type EC2Client,
  type Filter,
  GetConsoleOutputCommand,
  type Instance,
  paginateDescribeInstances,
  paginateDescribeSecurityGroups,
  paginateDescribeVolumes,
  type Tag,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import { deploymentTag } from '../../../infra/worker-rights.ts'
import type { CloudResource, MachineState } from '../machines.ts'
import { isGone, isHeld, neverRan } from './errors.ts'

export type Scope = { readonly ec2: EC2Client; readonly deployment: string; readonly name?: string }

export type TaggedInstance = {
  readonly id: string
  readonly state: Exclude<MachineState['state'], 'absent'>
  /** Why it ended, as AWS says it: `Server.SpotInstanceTermination: …`. */
  readonly reason: string | undefined
  readonly publicIp: string | undefined
  readonly zone: string | undefined
  readonly launchedAt: Date | undefined
  readonly tags: readonly Tag[]
}

/** Newest first, the terminated ones too, for as long as EC2 remembers them (about an hour). */
export async function instances(scope: Scope): Promise<readonly TaggedInstance[]> {
  const found = await instancesWith(scope.ec2, filters(scope))
  return found.toSorted((one, other) => (other.launchedAt?.getTime() ?? 0) - (one.launchedAt?.getTime() ?? 0))
}

/** The one with that id, whatever its tags; undefined where EC2 doesn't know it, or not yet. */
export function instance(ec2: EC2Client, id: string): Promise<readonly TaggedInstance[]> {
  return instancesWith(ec2, withId([id]))
}

async function instancesWith(client: EC2Client, Filters: Filter[]): Promise<readonly TaggedInstance[]> {
  const found: TaggedInstance[] = []
  for await (const page of paginateDescribeInstances({ client }, { Filters })) {
    for (const { Instances = [] } of page.Reservations ?? []) found.push(...Instances.map(instanceOf))
  }
  return found
}

/** By a filter: an id that EC2 has forgotten, or doesn't know yet, is then not an error that hides the others. */
const withId = (ids: readonly string[]): Filter[] => [{ Name: 'instance-id', Values: [...ids] }]

/** When the first of them was launched; what EC2 accepted but never started was not launched, and costs nothing. */
export function firstLaunch(seen: readonly TaggedInstance[]): Date | undefined {
  return seen
    .flatMap(({ launchedAt, state, reason }) =>
      launchedAt && !(state === 'terminated' && neverRan(reason)) ? launchedAt : [],
    )
    .toSorted((one, other) => one.getTime() - other.getTime())[0]
}

/** What the newest instance of the scope has written to its console, at most 64 KiB; undefined where EC2 has nothing. */
export async function consoleOutput(scope: Scope): Promise<string | undefined> {
  const [newest] = await instances(scope)
  if (!newest) return undefined
  // An instance's last output is posted when it ends; before that it must be requested.
  const Latest = newest.state === 'pending' || newest.state === 'running'
  const { Output } = await scope.ec2.send(new GetConsoleOutputCommand({ InstanceId: newest.id, Latest }))
  return Output ? Buffer.from(Output, 'base64').toString('utf8') : undefined
}

/** Asks EC2 to end every instance of the scope; returns those that had not ended. */
export async function terminateAll(scope: Scope): Promise<readonly string[]> {
  const alive = (await instances(scope)).filter(({ state }) => state !== 'terminated').map(({ id }) => id)
  if (alive.length > 0)
    await unlessGone(scope.ec2.send(new TerminateInstancesCommand({ InstanceIds: alive })))
  return alive
}

/**
 * Throws when they are not all seen `terminated` in time. EC2's answers lag behind: a `pending` or `running` after the
 * request to end it is looked at again (the SDK's own waiter takes it for a failure), and one that it knows no more is gone.
 */
export async function untilTerminated(
  ec2: EC2Client,
  ids: readonly string[],
  seconds: number,
): Promise<void> {
  const until = Date.now() + seconds * 1000
  for (let pauseMs = 1_000; !(await areTerminated(ec2, ids)); pauseMs = Math.min(8_000, pauseMs * 2)) {
    if (Date.now() >= until) {
      const message = `${ids.join(', ')} were not seen terminated within ${seconds} s`
      throw Object.assign(new Error(message), { name: 'TimeoutError' })
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}

async function areTerminated(ec2: EC2Client, ids: readonly string[]): Promise<boolean> {
  if (ids.length === 0) return true
  return (await instancesWith(ec2, withId(ids))).every(({ state }) => state === 'terminated')
}

/** Everything in the scope but terminated instances. */
export async function resources(scope: Scope): Promise<readonly CloudResource[]> {
  const [machines, ...others] = await Promise.all([
    instances(scope),
    volumes(scope),
    keyPairs(scope),
    securityGroups(scope),
  ])
  const alive = machines
    .filter(({ state }) => state !== 'terminated')
    .map(({ id, launchedAt, tags }) => foundOf('instance', id, launchedAt, tags))
  return [...alive, ...others.flat()]
}

/**
 * Removes what no stack knows; instances must have ended before, since they hold on to the rest, and some let go of it only a
 * while after that: then it is still there.
 */
export async function deleteResource({ ec2 }: Scope, { kind, id }: CloudResource): Promise<void> {
  if (kind === 'volume') await unlessGone(ec2.send(new DeleteVolumeCommand({ VolumeId: id })))
  if (kind === 'key-pair') await unlessGone(ec2.send(new DeleteKeyPairCommand({ KeyPairId: id })))
  if (kind === 'security-group') {
    await unlessGone(ec2.send(new DeleteSecurityGroupCommand({ GroupId: id }))).catch((error) => {
      if (!isHeld(error)) throw error
    })
  }
}

/** A missing resource needs no removal: another caller was first, or EC2 has only now caught up. */
async function unlessGone(removal: Promise<unknown>): Promise<void> {
  await removal.catch((error) => {
    if (!isGone(error)) throw error
  })
}

async function volumes(scope: Scope): Promise<readonly CloudResource[]> {
  const found: CloudResource[] = []
  for await (const page of paginateDescribeVolumes({ client: scope.ec2 }, { Filters: filters(scope) })) {
    for (const { VolumeId, CreateTime, Tags } of page.Volumes ?? []) {
      if (VolumeId) found.push(foundOf('volume', VolumeId, CreateTime, Tags))
    }
  }
  return found
}

async function keyPairs(scope: Scope): Promise<readonly CloudResource[]> {
  const { KeyPairs = [] } = await scope.ec2.send(new DescribeKeyPairsCommand({ Filters: filters(scope) }))
  return KeyPairs.flatMap(({ KeyPairId, CreateTime, Tags }) =>
    KeyPairId ? foundOf('key-pair', KeyPairId, CreateTime, Tags) : [],
  )
}

async function securityGroups(scope: Scope): Promise<readonly CloudResource[]> {
  const found: CloudResource[] = []
  for await (const page of paginateDescribeSecurityGroups(
    { client: scope.ec2 },
    { Filters: filters(scope) },
  )) {
    for (const { GroupId, Tags } of page.SecurityGroups ?? []) {
      if (GroupId) found.push(foundOf('security-group', GroupId, undefined, Tags))
    }
  }
  return found
}

function filters({ deployment, name }: Scope): Filter[] {
  return [
    { Name: `tag:${deploymentTag}`, Values: [deployment] },
    { Name: 'tag-key', Values: ['bellows:job'] },
    ...(name === undefined ? [] : [{ Name: 'tag:Name', Values: [name] }]),
  ]
}

const states: Readonly<Record<string, TaggedInstance['state']>> = {
  pending: 'pending',
  running: 'running',
  'shutting-down': 'stopping',
  stopping: 'stopping',
  // Our instances terminate rather than stop; one that does stop is on its way out and its disk costs.
  stopped: 'stopping',
  terminated: 'terminated',
}

function instanceOf(instance: Instance): TaggedInstance {
  const { Code: code, Message: message } = instance.StateReason ?? {}
  return {
    id: instance.InstanceId ?? '',
    state: states[instance.State?.Name ?? ''] ?? 'pending',
    reason: message ?? code,
    publicIp: instance.PublicIpAddress,
    zone: instance.Placement?.AvailabilityZone,
    launchedAt: instance.LaunchTime,
    tags: instance.Tags ?? [],
  }
}

function foundOf(
  kind: CloudResource['kind'],
  id: string,
  createdAt: Date | undefined,
  tags: readonly Tag[] = [],
): CloudResource {
  const tag = (key: string) => tags.find((each) => each.Key === key)?.Value
  const attempt = Number(tag('bellows:attempt'))
  return {
    kind,
    id,
    name: tag('Name') ?? id,
    trainingId: tag('bellows:job'),
    attempt: Number.isInteger(attempt) && attempt > 0 ? attempt : undefined,
    createdAt,
  }
}
