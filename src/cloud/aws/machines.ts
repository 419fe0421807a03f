/**
 * Machines on AWS: one Pulumi stack each, with the EC2 API beside it for what must not depend on the
 * engine's state: what runs, and ending it.
 *
 * order:   nothing → stack → key pair, group, rule → instance → answered
 * release: instance terminated → stack destroyed and removed → strays removed → seen that nothing is left
 *
 * Both may be repeated after any crash. An order first looks for its machine by tag: one that the stack
 * knows is returned; one that it doesn't (the engine died between AWS's answer and its own note of it) is
 * terminated before another is made.
 *
 * Where a stack's state can't be read, EC2's tags alone say what there is: a machine that runs is gone on with, all else of
 * that name is removed, and then the state.
 */
import type { EC2Client } from '@aws-sdk/client-ec2'
import { z } from 'zod'
import { firstBootUserData } from '../../../infra/cloud-init.ts'
import type { GpuMachineInputs } from '../../../infra/gpu-vm.ts'
import { Failure } from '../../failure.ts'
import { retry } from '../../retry.ts'
import { printableLines } from '../../text.ts'
import { workerFault } from '../../worker-fault.ts'
import type { MachineKeys } from '../machine-keys.ts'
import { parseMachineName } from '../machine-name.ts'
import type {
  CloudResource,
  MachineOrder,
  MachineState,
  Machines,
  OrderedMachine,
  Released,
} from '../machines.ts'
import { StackError } from '../pulumi/stack-child.ts'
import type { StackCall, Stacks } from '../pulumi/stacks.ts'
import {
  consoleOutput,
  deleteResource,
  firstLaunch,
  instance,
  instances,
  resources,
  type TaggedInstance,
  terminateAll,
  untilTerminated,
} from './ec2-resources.ts'
import { awsRefusal, isDuplicate, isTransientRefusal, orderFailure } from './errors.ts'
import { leastDiskGb } from './machine-image.ts'
import { currentOffers, type OfferLimits } from './offers.ts'

/** A region's base, as `infra/index.ts` created it; its outputs have these names. */
export type AwsNetwork = {
  readonly region: string
  readonly vpcId: string
  /** By zone. */
  readonly subnets: Readonly<Record<string, string>>
  readonly securityGroupId: string
  readonly instanceProfile: string
  readonly imageId: string
}

export type PulumiMachinesOptions = {
  /** The `bellows:deployment` tag: resources with another value are never seen. */
  readonly deployment: string
  readonly bases: readonly (AwsNetwork & { readonly ec2: EC2Client })[]
  readonly stacks: Stacks
  readonly keys: (name: string) => MachineKeys
  /** The login user of the machine image. */
  readonly loginUser: string
  /** Where workers' SSH connections come from, as AWS sees it, in CIDR form. */
  readonly workerNetworks: readonly string[]
  readonly market: Omit<OfferLimits, 'zones'>
  /** Whether the lease under which this machine's stack was locked at that time has provably expired. */
  readonly mayCancelLock?: (name: string, lockedAt: Date | undefined) => boolean | Promise<boolean>
  /** How long EC2 may take to end a machine. Default 600. */
  readonly terminationSeconds?: number
}

export function pulumiMachines(options: PulumiMachinesOptions): Machines {
  const { deployment, bases, stacks, terminationSeconds = 600 } = options
  const zones = Object.fromEntries(bases.map(({ region, subnets }) => [region, Object.keys(subnets)]))
  const everywhere = <T>(ask: (scope: { ec2: EC2Client; deployment: string }) => Promise<T>) =>
    Promise.all(bases.map(({ ec2 }) => retry(() => ask({ ec2, deployment }), isTransientRefusal)))
  /** By its tags, and where none are shown, by the id that was noted. */
  const instancesOf = async (name: string, instanceId?: string) => {
    const tagged = (await everywhere((scope) => instances({ ...scope, name }))).flat()
    if (tagged.length > 0 || instanceId === undefined) return tagged
    return (await everywhere(({ ec2 }) => instance(ec2, instanceId))).flat()
  }
  const leastDisks = new Map<AwsNetwork, Promise<number>>()
  /** Fetched once; a failed answer is fetched again. */
  const leastDiskOf = (base: (typeof bases)[number]): Promise<number> => {
    const asked = leastDisks.get(base) ?? leastDiskGb(base)
    leastDisks.set(base, asked)
    asked.catch(() => leastDisks.delete(base))
    return asked
  }
  const callFor = (name: string): StackCall => {
    const { mayCancelLock } = options
    return mayCancelLock ? { mayCancelLock: (lockedAt) => mayCancelLock(name, lockedAt) } : {}
  }
  const terminate = async (name: string) => {
    const ended = await everywhere(async (scope) => ({
      ...scope,
      ids: await terminateAll({ ...scope, name }),
    }))
    await Promise.all(ended.map(({ ec2, ids }) => untilTerminated(ec2, ids, terminationSeconds)))
  }
  /**
   * All but instances, which must have ended before. What something still holds on to, or EC2 still shows, is removed again
   * for a minute; returns what is there at last.
   */
  const removeStrays = async (name: string): Promise<readonly CloudResource[]> => {
    for (const pauseMs of [0, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000]) {
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs))
      const found = await everywhere(async (scope) => {
        const seen = await resources({ ...scope, name })
        const strays = seen.filter(({ kind }) => kind !== 'instance')
        await Promise.all(strays.map((thing) => deleteResource(scope, thing)))
        return seen
      })
      if (found.flat().every(({ kind }) => kind === 'instance')) return found.flat()
    }
    return (await everywhere((scope) => resources({ ...scope, name }))).flat()
  }

  /** Removes a stack whose state can't be read, and before it everything that it may have held; reports it. */
  const discard = async (name: string, error: unknown, call: StackCall): Promise<string> => {
    await terminate(name)
    await removeStrays(name)
    await stacks.discard(name, call)
    return `the state of the stack ${name} could not be read and was removed (${messageOf(error)})`
  }

  /** The machine of an earlier, perhaps unfinished order; strays are ended on the way. */
  const findOrdered = async (
    { name, instanceId }: MachineOrder,
    call: StackCall,
  ): Promise<OrderedMachine | undefined> => {
    const known = await instancesOf(name, instanceId)
    if (known.length === 0) return undefined
    const launchedAt = firstLaunch(known) ?? new Date()
    const noted = await stacks.outputs(name, call).catch((error) => {
      if (isUnreadable(error)) return theOneThatRuns(known)
      throw error
    })
    const outputs = machineOutputs.safeParse(noted)
    const own = outputs.success ? known.find(({ id }) => id === outputs.data.instanceId) : undefined
    if (outputs.success && (own?.state === 'pending' || own?.state === 'running'))
      return { name, ...outputs.data, launchedAt }
    if (own)
      throw new Failure('machine-lost', `${own.id} is ${own.state}${own.reason ? ` (${own.reason})` : ''}`)
    await terminate(name)
    return undefined
  }

  /** What the engine reports to have made, unless AWS has ended it already and gives a reason. */
  const make = async (order: MachineOrder, call: StackCall): Promise<OrderedMachine> => {
    const { name, offer } = order
    const base = bases.find(({ region }) => region === offer.region)
    if (!base) throw new Error(`There is no base in ${offer.region}`)
    const diskGb = Math.max(order.diskGb, await leastDiskOf(base))
    const inputs = machineInputs({ ...order, diskGb }, base, options)
    const beforeRetry = () => terminate(name)
    try {
      const config = { 'aws:region': offer.region, 'aws:maxRetries': mostRetries }
      const outputs = await stacks.up(name, { inputs, config }, { ...call, beforeRetry })
      const made = machineOutputs.parse(outputs)
      const seen = await instancesOf(name)
      // Its tags may appear later than the resource.
      const known =
        seen.length > 0 ? seen : await retry(() => instance(base.ec2, made.instanceId), isTransientRefusal)
      return { name, ...made, launchedAt: firstLaunch(known) ?? new Date() }
    } catch (error) {
      if (call.signal?.aborted) throw call.signal.reason
      if (isUnreadable(error) || workerFault(error) || awsRefusal(error)) throw error
      const late = (await instancesOf(name)).find(
        ({ state }) => state === 'terminated' || state === 'stopping',
      )
      throw late?.reason && awsRefusal(late.reason) ? new Error(late.reason, { cause: error }) : error
    }
  }

  /** Resources that an engine made before it died, and never recorded, block the same order. */
  const makeAnew = async (order: MachineOrder, call: StackCall): Promise<OrderedMachine> => {
    try {
      return await make(order, call)
    } catch (error) {
      if (workerFault(error) || !isDuplicate(error)) throw error
      await removeStrays(order.name)
      return make(order, call)
    }
  }

  return {
    offers: (need) => currentOffers(bases, need, { ...options.market, zones }),

    async order(order, signal) {
      signal.throwIfAborted()
      const call = { ...callFor(order.name), signal }
      const findOrMake = async () =>
        (await findOrdered(order, call)) ??
        (await retry(() => makeAnew(order, call), isTransientRefusal, { ...patience, signal }))
      try {
        return await findOrMake().catch(async (error) => {
          if (!isUnreadable(error)) throw error
          const warning = await discard(order.name, error, call)
          return { ...(await findOrMake()), warning }
        })
      } catch (error) {
        signal.throwIfAborted()
        throw error instanceof Failure ? error : orderFailure(error, order.offer)
      }
    },

    async state(name, noted): Promise<MachineState> {
      const known = await instancesOf(name, noted)
      const newest = known.find(({ state }) => state !== 'terminated') ?? known[0]
      if (!newest) return { state: 'absent' }
      const { state, id: instanceId, reason } = newest
      return { state, instanceId, ...(reason === undefined ? {} : { reason }) }
    },

    async console(name) {
      const [text] = (await everywhere((scope) => consoleOutput({ ...scope, name }))).filter(Boolean)
      return text && printableLines(text)
    },

    async release(name): Promise<Released> {
      const call = callFor(name)
      const seen = [...(await instancesOf(name))]
      await terminate(name)
      const warning = await stacks.destroy(name, call).catch((error) => {
        if (isUnreadable(error)) return discard(name, error, call)
        throw error
      })
      // An engine that was killed halfway may have made resources that it never recorded, until just now.
      seen.push(...(await instancesOf(name)))
      await terminate(name)
      const [left, stackIsLeft] = await Promise.all([removeStrays(name), stacks.has(name, call)])
      const still = left.map(({ kind, id }) => `${kind} ${id}`)
      if (stackIsLeft) still.push(`stack ${name}`)
      if (still.length > 0) throw new Error(`${name} is not gone: ${still.join(', ')} is left`)
      return { launchedAt: firstLaunch(seen), ...(warning && { warning }) }
    },

    async existing() {
      const [found, listed] = await Promise.all([everywhere(resources), stacks.list()])
      return [...found.flat(), ...listed.map(({ name, updatedAt }) => foundStack(name, updatedAt))]
    },
  }
}

/**
 * The provider's own, for each call. By default it retries 25 times where there is no capacity, for 48 minutes, and
 * all that is seen of it is an order that took too long.
 */
const mostRetries = '3'

/** For an order that AWS is too busy for: about a minute in total. */
const patience = { attempts: 5, firstDelayMs: 2_000, maxDelayMs: 30_000 }

const isUnreadable = (error: unknown) => error instanceof StackError && error.kind === 'unreadable'

/** What the stack's outputs would say, if that is beyond doubt. */
function theOneThatRuns(known: readonly TaggedInstance[]) {
  const [one, ...others] = known.filter(({ state }) => state !== 'terminated')
  return one?.state === 'running' && others.length === 0
    ? { instanceId: one.id, host: one.publicIp, zone: one.zone }
    : undefined
}

function messageOf(error: unknown): string {
  return error instanceof Error ? (error.message.split('\n', 1)[0] ?? '') : String(error)
}

const machineOutputs = z.object({ instanceId: z.string().min(1), host: z.string().min(1), zone: z.string() })

function machineInputs(
  order: MachineOrder,
  base: AwsNetwork,
  options: PulumiMachinesOptions,
): GpuMachineInputs {
  const { name, trainingId, attempt, offer, diskGb, lifetimeSeconds, deadline } = order
  const subnetId = base.subnets[offer.zone]
  if (!subnetId) throw new Error(`The base has no subnet in ${offer.zone}`)
  const keys = options.keys(name)
  return {
    deployment: options.deployment,
    name,
    trainingId,
    attempt,
    type: offer.type,
    market: offer.market,
    zone: offer.zone,
    vpcId: base.vpcId,
    subnetId,
    securityGroupId: base.securityGroupId,
    instanceProfile: base.instanceProfile,
    imageId: base.imageId,
    diskGb,
    publicKey: keys.loginPublicKey,
    workerNetworks: options.workerNetworks,
    userData: firstBootUserData({
      hostPrivateKey: keys.hostPrivateKey.reveal(),
      authorizedKey: keys.loginPublicKey,
      loginUser: options.loginUser,
      lifetimeSeconds,
      hardDeadline: deadline,
    }),
  }
}

function foundStack(name: string, updatedAt: Date | undefined): CloudResource {
  const { trainingId, attempt } = parseMachineName(name) ?? {}
  return { kind: 'stack', id: name, name, trainingId, attempt, createdAt: updatedAt }
}
