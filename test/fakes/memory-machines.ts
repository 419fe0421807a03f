/**
 * A simulated cloud for tests of the workflow. It has no clock: every point where a real cloud takes time
 * or fails is a call of `moment`, which may wait as long as a scheduler likes, or throw. What the points
 * leave behind is what AWS leaves: an order that fails after `instance` bills until it is released. A machine past
 * its deadline, by `now`, has switched itself off.
 *
 * order:    asked → key-pair → instance → answered
 * release:  asked → terminated → removed → answered
 */

import { orderFailure } from '../../src/cloud/aws/errors.ts'
import { parseMachineName } from '../../src/cloud/machine-name.ts'
import type {
  CloudResource,
  MachineOrder,
  MachineState,
  Machines,
  Offer,
  OrderedMachine,
  Released,
} from '../../src/cloud/machines.ts'
import { quotaOf } from '../../src/cloud/quotas.ts'
import { Failure } from '../../src/failure.ts'
import { offer as sampleOffer } from '../cloud/samples.ts'

export type Point = 'asked' | 'key-pair' | 'instance' | 'terminated' | 'removed' | 'answered'
export type Moment = {
  readonly verb: keyof Machines
  readonly point: Point
  /** Undefined for verbs that concern no machine. */
  readonly name: string | undefined
  readonly offer: Offer | undefined
}

export type MemoryMachinesOptions = {
  /** Whose tag everything carries that is made. */
  readonly deployment?: string
  readonly offers?: readonly Offer[]
  readonly now?: () => Date
  readonly moment?: (moment: Moment) => void | Promise<void>
}

type Resource = CloudResource & { readonly deployment: string; gone: boolean }
type Instance = Resource & {
  readonly order: MachineOrder
  readonly launchedAt: Date
  state: 'running' | 'terminated'
  reason: string | undefined
}

/** What the deployments of one account have in common. */
type Account = {
  readonly resources: Resource[]
  readonly instances: Instance[]
  readonly dry: Set<Offer['market']>
  readonly quotas: Map<string, number>
  readonly trespasses: string[]
}

export type MemoryMachines = Machines & {
  /** The same account, as another deployment's workers see it: each finds its own by its tag. */
  as(deployment: string): MemoryMachines
  /** What a deployment did to resources of another. */
  trespasses(): readonly string[]
  /** Every instance ever made, in order. */
  made(): readonly {
    readonly name: string
    readonly instanceId: string
    readonly order: MachineOrder
    readonly launchedAt: Date
    readonly running: boolean
  }[]
  /** What was made and is not removed: what a real cloud would continue to bill, or keep a record of. */
  left(): readonly CloudResource[]
  /** The machine ends by itself, as after a spot notice, a fault or its deadline. */
  lose(name: string, reason?: string): void
  /** The state of the machine's stack can't be read from now on, as when its file is empty. */
  breakState(name: string): void
  /**
   * From now on the machine's parts are shown without their tags, as those of one that is new, or has ended: who asks by tag
   * sees none. Or its instance is not visible at all, not even by its id. Undefined: it is shown again.
   */
  hide(name: string, what: 'tags' | 'instance' | undefined): void
  /** While it is on, something holds on to the machine's group: releases end the machine, and say what is left. */
  holdOn(name: string, on: boolean): void
  /** While it is on, this market has no capacity. */
  drought(market: Offer['market'], on: boolean): void
  /** From now on the most machines that the account may have under this quota (quotas.ts); undefined: no limit. */
  quota(name: string, machines: number | undefined): void
}

export function memoryMachines(options: MemoryMachinesOptions = {}): MemoryMachines {
  const account: Account = {
    ...{ resources: [], instances: [], trespasses: [] },
    ...{ dry: new Set(), quotas: new Map() },
  }
  return machinesIn(account, options)
}

function machinesIn(account: Account, options: MemoryMachinesOptions): MemoryMachines {
  const {
    offers = [sampleOffer()],
    now = () => new Date(0),
    moment = () => {},
    deployment = 'bellows',
  } = options
  const { resources, instances, dry, quotas, trespasses } = account
  const busy = new Map<string, Promise<unknown>>()
  const unreadable = new Set<string>()
  const hidden = new Map<string, 'tags' | 'instance'>()
  const held = new Set<string>()

  const isOurs = (resource: Resource) => resource.deployment === deployment
  const remove = (resource: Resource): void => {
    if (!resource.gone && resource.deployment !== deployment)
      trespasses.push(`${deployment} removed the ${resource.kind} ${resource.name} of ${resource.deployment}`)
    resource.gone = true
  }

  /** Uses AWS's codes, so that the consequences are the same as in the real cloud. */
  const refuse = (offer: Offer): void => {
    const name = quotaOf(offer)
    const used = instances.filter(
      ({ state, order: { offer: its } }) => state === 'running' && quotaOf(its) === name,
    )
    if (used.length >= (quotas.get(name) ?? Number.POSITIVE_INFINITY))
      throw orderFailure(
        new Error(offer.market === 'spot' ? 'MaxSpotInstanceCountExceeded' : 'VcpuLimitExceeded'),
        offer,
      )
    if (dry.has(offer.market)) throw orderFailure(new Error('InsufficientInstanceCapacity'), offer)
  }

  const instanceOf = (name: string) => {
    switchOff()
    return instances.findLast((each) => isOurs(each) && each.name === name)
  }
  const reach = (verb: keyof Machines, point: Point, name?: string, offer?: Offer) =>
    moment({ verb, point, name, offer })
  const find = (kind: CloudResource['kind'], name: string) =>
    resources.find((each) => isOurs(each) && !each.gone && each.kind === kind && each.name === name)
  const make = (kind: CloudResource['kind'], name: string): Resource => {
    if (find(kind, name)) throw new Error(`There is a ${kind} ${name} already`)
    const { trainingId, attempt } = parseMachineName(name) ?? {}
    const id = `${kind === 'instance' ? 'i' : kind}-${String(resources.length).padStart(17, '0')}`
    const resource = { kind, id, name, deployment, trainingId, attempt, createdAt: now(), gone: false }
    resources.push(resource)
    return resource
  }
  const ensure = (kind: CloudResource['kind'], name: string) => find(kind, name) ?? make(kind, name)

  /** One operation on a stack at a time, like the engine's lock. */
  const locked = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    while (busy.has(name)) await busy.get(name)
    const done = Promise.withResolvers<void>()
    busy.set(name, done.promise)
    try {
      return await work()
    } finally {
      busy.delete(name)
      done.resolve()
    }
  }

  const order = async (wanted: MachineOrder, signal: AbortSignal): Promise<OrderedMachine> => {
    const { name, offer } = wanted
    await reach('order', 'asked', name, offer)
    signal.throwIfAborted()
    ensure('stack', name)
    ensure('key-pair', name)
    ensure('security-group', name)
    await reach('order', 'key-pair', name, offer)
    signal.throwIfAborted()
    const before = instanceOf(name)
    if (before?.state === 'terminated' && !before.gone) {
      throw new Failure('machine-lost', before.reason ?? 'the machine has ended')
    }
    if (!before || before.gone) {
      refuse(offer)
      const launchedAt = now()
      const born = { order: wanted, launchedAt, state: 'running' as const, reason: undefined }
      instances.push(Object.assign(make('instance', name), born))
      make('volume', name)
    }
    await reach('order', 'instance', name, offer)
    const instance = instanceOf(name) as Instance
    if (instance.state === 'terminated') {
      throw new Failure('no-capacity', `${offer.type} in ${offer.zone} ended before it was ready`)
    }
    await reach('order', 'answered', name, offer)
    const { zone } = instance.order.offer
    const launchedAt = firstLaunch(name) ?? instance.launchedAt
    return { name, instanceId: instance.id, host: '127.0.0.1', zone, launchedAt }
  }

  const firstLaunch = (name: string) =>
    instances.find((each) => isOurs(each) && each.name === name)?.launchedAt

  /** Those past their deadline. */
  const switchOff = (): void => {
    for (const instance of instances) {
      if (instance.state === 'running' && now() >= switchesOffAt(instance))
        terminate(instance, 'Client.InstanceInitiatedShutdown: Instance initiated shutdown')
    }
  }

  const terminate = (instance: Instance, reason: string | undefined): void => {
    instance.state = 'terminated'
    instance.reason = reason
    for (const each of resources)
      if (each.kind === 'volume' && each.name === instance.name && each.deployment === instance.deployment)
        each.gone = true
  }

  const end = (name: string, reason?: string): void => {
    const instance = instanceOf(name)
    if (instance?.state !== 'running') return
    terminate(instance, reason)
    if (instance.deployment !== deployment)
      trespasses.push(`${deployment} ended the machine ${name} of ${instance.deployment}`)
  }

  const release = async (name: string): Promise<Released> => {
    await reach('release', 'asked', name)
    end(name, 'Client.UserInitiatedShutdown')
    await reach('release', 'terminated', name)
    const stays = ({ kind }: Resource) => held.has(name) && (kind === 'security-group' || kind === 'stack')
    const own = resources.filter((each) => isOurs(each) && each.name === name && !each.gone)
    for (const each of own) if (!stays(each)) remove(each)
    const broken = unreadable.delete(name)
    await reach('release', 'removed', name)
    const still = own.filter(stays).map(({ kind, id }) => `${kind} ${id}`)
    if (still.length > 0) throw new Error(`${name} is not gone: ${still.join(', ')} is left`)
    await reach('release', 'answered', name)
    const launchedAt = firstLaunch(name)
    return { launchedAt, ...(broken && { warning: `the state of the stack ${name} could not be read` }) }
  }

  const left = (): readonly CloudResource[] => {
    switchOff()
    return resources
      .filter(
        (each) =>
          isOurs(each) &&
          !each.gone &&
          !(each.kind === 'instance' && instanceOf(each.name)?.state === 'terminated'),
      )
      .map(({ kind, id, name, trainingId, attempt, createdAt }) => ({
        kind,
        id,
        name,
        trainingId,
        attempt,
        createdAt,
      }))
  }

  return {
    async offers(need) {
      await reach('offers', 'asked')
      return offers
        .filter(({ gpus, gpuMemoryGb }) => gpus >= need.gpus && gpuMemoryGb >= need.gpuMemoryGb)
        .toSorted((one, other) => one.usdPerHour - other.usdPerHour)
    },
    order: (wanted, signal) => locked(wanted.name, () => order(wanted, signal)),
    async state(name, knownAs): Promise<MachineState> {
      await reach('state', 'asked', name)
      const instance = instanceOf(name)
      const isShown = !hidden.has(name) || (hidden.get(name) === 'tags' && instance?.id === knownAs)
      if (!instance || !isShown) return { state: 'absent' }
      const { state, id: instanceId, reason } = instance
      return { state, instanceId, ...(reason === undefined ? {} : { reason }) }
    },
    async console(name) {
      await reach('console', 'asked', name)
      return instanceOf(name) && !hidden.has(name) ? `${name} has begun its first boot` : undefined
    },
    release: (name) => locked(name, () => release(name)),
    async existing() {
      await reach('existing', 'asked')
      return left().filter(({ kind, name }) => kind === 'stack' || !hidden.has(name))
    },
    made() {
      switchOff()
      return instances.filter(isOurs).map(({ name, id, order, launchedAt, state }) => ({
        name,
        instanceId: id,
        order,
        launchedAt,
        running: state === 'running',
      }))
    },
    left,
    lose: (name, reason = 'Server.SpotInstanceTermination: the spot machine was taken back') =>
      end(name, reason),
    breakState: (name) => void unreadable.add(name),
    holdOn: (name, on) => void (on ? held.add(name) : held.delete(name)),
    as: (other) => machinesIn(account, { ...options, deployment: other }),
    trespasses: () => trespasses,
    hide: (name, what) => void (what ? hidden.set(name, what) : hidden.delete(name)),
    drought: (market, on) => void (on ? dry.add(market) : dry.delete(market)),
    quota: (name, machines) =>
      void (machines === undefined ? quotas.delete(name) : quotas.set(name, machines)),
  }
}

function switchesOffAt({ order, launchedAt }: Instance): Date {
  const paidUntil = launchedAt.getTime() + order.lifetimeSeconds * 1000
  return new Date(Math.min(paidUntil, order.deadline.getTime()))
}
