/**
 * The life of the emulator's instances: what EC2 does with one, done to a container.
 *
 *   pending ──> running ──> shutting-down ──> terminated     terminate(), a spot reclaim, a shutdown inside
 *      │           └──────> stopping ──> stopped             a shutdown inside, where that is to stop it
 *      └─────────────────────────────────> terminated        accepted, but there was no capacity after all
 *
 * Only `#move` writes a state. Whatever ends a container (a shutdown inside, `kill -9`, Docker) is noticed by a
 * wait of its own for each. After a restart of this process, `recover` looks at each container and goes on
 * from what it finds. Terminated instances stay visible for an hour.
 */
import { randomBytes } from 'node:crypto'
import {
  createMachine,
  type IngressRule,
  machineConsole,
  machineLife,
  removeMachine,
  setIngress,
  setMetadata,
  setReachable,
  startMachine,
  stopMachine,
  untilEnded,
} from '../machines/machine.ts'
import type { Faults } from '../provider/faults.ts'
import type { Instance, InstanceState, State } from '../provider/state.ts'
import { ApiError, type Call } from './api-error.ts'
import { accountId, catalog, localRegion, zonesOf } from './catalog.ts'
import { type Retries, withRetries } from './retries.ts'

export type InstancesOptions = {
  readonly deployment: string
  readonly machineImage: string
  readonly network: string
  readonly state: State
  readonly faults: Faults
  readonly ingressOf: (groupIds: readonly string[]) => readonly IngressRule[]
  readonly publicKeyOf: (keyName: string) => string | undefined
  readonly onTrouble: (message: string, error: unknown) => void
}

/** What an order names; the rest of an Instance is EC2's to fill in. */
export type Order = Omit<Instance, 'id' | 'state' | 'launchedAt' | 'volume'> & {
  readonly volume: Omit<Instance['volume'], 'id'>
  readonly userData: string
}

const reasons = {
  user: 'Client.UserInitiatedShutdown: User initiated shutdown',
  self: 'Client.InstanceInitiatedShutdown: Instance initiated shutdown',
  spot: 'Server.SpotInstanceTermination: Spot instance termination',
  internal: 'Server.InternalError: Internal error on launch',
} as const

const visibleMs = 3_600_000

export class Instances {
  readonly #options: InstancesOptions
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #ending = new Map<string, Promise<void>>()
  /** What machines that are gone had written; EC2 doesn't promise to keep it, and neither does a restart. */
  readonly #consoles = new Map<string, string>()
  #closed = false

  constructor(options: InstancesOptions) {
    this.#options = options
  }

  /** Those that EC2 would still show. */
  list(): readonly Instance[] {
    const { state } = this.#options
    for (const { id, endedAt } of state.instances()) {
      if (!endedAt || Date.now() - Date.parse(endedAt) <= visibleMs) continue
      state.removeInstance(id)
      this.#consoles.delete(id)
    }
    return state.instances()
  }

  /** As EC2's answers have them, which may lag behind. */
  shown(): readonly Instance[] {
    const { faults } = this.#options
    const late = (instance: Instance, what: 'instance' | 'tags') =>
      faults.matchFault(
        'late',
        (fault) =>
          fault.what === what &&
          isAt(fault, instance) &&
          Date.now() - Date.parse(instance.launchedAt) < fault.seconds * 1000,
      ) !== undefined
    return this.list()
      .filter((each) => !late(each, 'instance'))
      .map((each) => (late(each, 'tags') ? { ...each, tags: {} } : each))
  }

  find(id: string): Instance | undefined {
    return this.list().find((each) => each.id === id)
  }

  /** The most recent 64 KiB of what the machine has written. */
  async console(id: string): Promise<Buffer> {
    return Buffer.from(this.#consoles.get(id) ?? (await machineConsole(id))).subarray(-64 * 1024)
  }

  /** Orders one and waits until it runs. Throws an ApiError in EC2's words. */
  async run({ userData, ...order }: Order, retries: Retries = { attempts: 1 }): Promise<Instance> {
    const call = { doing: 'creating EC2 Instance', operation: 'RunInstances' }
    await withRetries(retries, () => this.#refuse(order, call))
    const instance: Instance = {
      ...order,
      id: `i-${hexadecimal()}`,
      volume: { ...order.volume, id: `vol-${hexadecimal()}` },
      state: 'pending',
      launchedAt: new Date().toISOString(),
    }
    this.#options.state.putInstance(instance)

    const late = this.#options.faults.matchFault('refuse-late', (fault) => isAt(fault, order))
    if (late) {
      const { code, message = 'Insufficient capacity to satisfy instance request' } = late
      const said = `${/^(Server|Client)\./.test(code) ? code : `Server.${code}`}: ${message}`
      this.#move(instance.id, 'terminated', said)
      const doing = `waiting for EC2 Instance (${instance.id}) create`
      throw new Error(`${doing}: unexpected state 'terminated', wanted target 'running'. last error: ${said}`)
    }
    if (this.#options.faults.matchFault('never-runs', (fault) => isAt(fault, order))) {
      const waited =
        "timeout while waiting for state to become 'running' (last state: 'pending', timeout: 10m0s)"
      throw new Error(`waiting for EC2 Instance (${instance.id}) create: ${waited}`)
    }
    try {
      await this.#boot(instance, userData)
    } catch (error) {
      this.#options.onTrouble(`${instance.id} could not be started`, error)
      await this.#end(instance.id, 'terminated', reasons.internal)
      throw new ApiError(call, 'InternalError', `An internal error has occurred: ${error}`, 500)
    }
    return this.find(instance.id) ?? instance
  }

  /** Ends it and removes all that it holds. Returns when it is terminated; safe to repeat. */
  async terminate(id: string, reason: string = reasons.user): Promise<void> {
    await this.#end(id, 'terminated', reason)
  }

  /** What a spot reclaim does: a notice at the metadata address, and the end `seconds` later. */
  async giveSpotNotice(id: string, seconds = 120): Promise<void> {
    const instance = this.#running(id)
    const at = new Date(Date.now() + seconds * 1000)
    const time = `${at.toISOString().slice(0, 19)}Z`
    await setMetadata(id, 'meta-data/spot/instance-action', JSON.stringify({ action: 'terminate', time }))
    this.#options.state.putInstance({ ...instance, reclaimAt: at.toISOString() })
    this.#reclaimAt(id, at)
  }

  /** The machine is gone without a word, as when its host fails. */
  async kill(id: string): Promise<void> {
    this.#running(id)
    await this.#end(id, 'terminated', 'Server.InternalError: Instance failed')
  }

  /** Cuts it off from the network, or lets it back. The machine goes on by itself. */
  async setReachable(id: string, reachable: boolean): Promise<void> {
    this.#running(id)
    await setReachable(id, reachable)
  }

  /** Brings the firewalls of the group's members in line with its rules. */
  async applyGroup(groupId: string): Promise<void> {
    const members = this.list().filter((each) => each.state === 'running' && each.groupIds.includes(groupId))
    await Promise.all(members.map((each) => setIngress(each.id, this.#options.ingressOf(each.groupIds))))
  }

  /** Takes up the instances that an earlier process left. */
  async recover(): Promise<void> {
    await Promise.all(this.list().map((instance) => this.#recover(instance)))
  }

  /** Stops watching; the machines go on. */
  close(): void {
    this.#closed = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }

  async #recover({ id, state, reclaimAt, shutdownBehavior }: Instance): Promise<void> {
    if (state === 'terminated' || state === 'stopped') return
    const life = await machineLife(id)
    if (state === 'shutting-down') return this.#end(id, 'terminated', undefined)
    if (life !== 'running') {
      const lost = state === 'pending'
      const ending = shutdownBehavior === 'stop' && !lost ? 'stopped' : 'terminated'
      return this.#end(id, ending, lost ? reasons.internal : reasons.self)
    }
    if (state === 'pending') this.#running(id, await startMachine(id))
    this.#watch(id)
    if (reclaimAt) this.#reclaimAt(id, new Date(reclaimAt))
  }

  #refuse(order: Omit<Order, 'userData'>, call: Call): void {
    const { type, zone, market } = order
    const known = catalog[type]
    if (!known) {
      throw new ApiError(call, 'InvalidParameterValue', `Invalid value '${type}' for InstanceType.`)
    }
    if (!zonesOf(type).includes(zone)) {
      throw new ApiError(
        call,
        'Unsupported',
        `Your requested instance type (${type}) is not supported in your requested Availability Zone (${zone}). ` +
          `Please retry your request by not specifying an Availability Zone or choosing ${zonesOf(type).join(', ')}.`,
      )
    }
    const quota = this.#options.faults.matchFault(
      'quota',
      (fault) => fault.market === market && isOf(fault.family, type),
    )
    const used = this.list()
      .filter((each) => each.state !== 'terminated' && each.market === market)
      .filter((each) => isOf(quota?.family, each.type))
      .reduce((sum, each) => sum + (catalog[each.type]?.vcpus ?? 0), 0)
    if (quota && used + known.vcpus > quota.vcpus) {
      const [code, message] =
        market === 'spot'
          ? ['MaxSpotInstanceCountExceeded', 'Max spot instance count exceeded']
          : [
              'VcpuLimitExceeded',
              `You have requested more vCPU capacity than your current vCPU limit of ${quota.vcpus} allows for the ` +
                'instance bucket that the specified instance type belongs to.',
            ]
      throw new ApiError(call, code as string, message as string)
    }
    const limit =
      market === 'on-demand'
        ? this.#options.faults.matchFault('instance-limit', (fault) => (fault.type ?? type) === type)
        : undefined
    const wanted =
      1 +
      this.list().filter(
        (each) => each.state !== 'terminated' && each.market === market && each.type === type,
      ).length
    if (limit && wanted > limit.instances) {
      const message =
        `You have requested more instances (${wanted}) than your current instance limit of ${limit.instances} allows ` +
        'for the specified instance type.'
      throw new ApiError(call, 'InstanceLimitExceeded', message)
    }
    const refusal = this.#options.faults.matchFault('refuse', (fault) => isAt(fault, order))
    if (refusal) {
      throw new ApiError(
        call,
        refusal.code,
        refusal.message ?? noCapacity(type, zone),
        statusOf(refusal.code),
      )
    }
  }

  async #boot(instance: Instance, userData: string): Promise<void> {
    const { deployment, machineImage, network, faults, ingressOf, publicKeyOf } = this.#options
    const { id, volume, tags, type, zone, keyName } = instance
    const slow = faults.matchFault('slow-boot', (fault) => isAt(fault, instance))
    const small = faults.matchFault('small-disk', (fault) => isAt(fault, instance))
    const publicKey = keyName ? (publicKeyOf(keyName) ?? '') : ''
    await createMachine({
      name: id,
      disk: volume.id,
      image: machineImage,
      network,
      labels: { 'bellows.local': deployment, ...tags },
      metadata: {
        'meta-data/instance-id': id,
        'meta-data/instance-type': type,
        'meta-data/ami-id': instance.imageId,
        'meta-data/placement/availability-zone': zone,
        'meta-data/placement/region': localRegion,
        'meta-data/instance-life-cycle': instance.market,
        'meta-data/public-keys/0/openssh-key': publicKey,
        'dynamic/instance-identity/document': JSON.stringify({
          accountId,
          instanceId: id,
          instanceType: type,
        }),
        'user-data': userData,
      },
      ingress: ingressOf(instance.groupIds),
      bootSeconds: slow?.seconds ?? 0,
      diskMegabytes: small?.megabytes,
    })
    // It may have been terminated meanwhile.
    if (this.find(id)?.state !== 'pending') return removeMachine(id, volume.id)
    this.#running(id, await startMachine(id))
    this.#watch(id)
  }

  #running(id: string, address?: string): Instance {
    const instance = this.find(id)
    if (instance && address && instance.state === 'pending') {
      this.#options.state.putInstance({ ...instance, state: 'running', address })
      return { ...instance, state: 'running', address }
    }
    if (instance?.state !== 'running') throw new Error(`The instance ${id} is not running`)
    return instance
  }

  #watch(id: string): void {
    untilEnded(id)
      .then(() => {
        const instance = this.find(id)
        if (this.#closed || instance?.state !== 'running') return
        return this.#end(id, instance.shutdownBehavior === 'stop' ? 'stopped' : 'terminated', reasons.self)
      })
      .catch((error) => this.#options.onTrouble(`${id} could not be watched`, error))
  }

  #reclaimAt(id: string, at: Date): void {
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer)
        this.terminate(id, reasons.spot).catch((error) =>
          this.#options.onTrouble(`${id} was not reclaimed`, error),
        )
      },
      Math.max(0, at.getTime() - Date.now()),
    )
    this.#timers.add(timer)
  }

  /** One ending at a time for each instance: a second one waits for the first. */
  #end(id: string, last: 'terminated' | 'stopped', reason: string | undefined): Promise<void> {
    const ending = this.#ending.get(id)
    if (ending !== undefined) return ending
    const started = this.#perform(id, last, reason).finally(() => this.#ending.delete(id))
    this.#ending.set(id, started)
    return started
  }

  async #perform(id: string, last: 'terminated' | 'stopped', reason: string | undefined): Promise<void> {
    const instance = this.find(id)
    if (!instance || instance.state === 'terminated') return
    this.#move(id, last === 'stopped' ? 'stopping' : 'shutting-down', reason)
    if (last === 'stopped') await stopMachine(id)
    else {
      this.#consoles.set(id, await machineConsole(id))
      await removeMachine(id, instance.volume.id)
    }
    this.#move(id, last, reason)
  }

  #move(id: string, state: InstanceState, reason: string | undefined): void {
    const instance = this.#options.state.instance(id)
    if (!instance) return
    const { address, ...rest } = instance
    const bare =
      state === 'terminated' && this.#options.faults.matchFault('drop-tags', (fault) => isAt(fault, instance))
    this.#options.state.putInstance({
      ...rest,
      state,
      ...(reason === undefined ? {} : { stateReason: reason }),
      ...(bare ? { tags: {} } : {}),
      ...(state === 'terminated' ? { endedAt: new Date().toISOString() } : address ? { address } : {}),
    })
  }
}

type Placement = {
  readonly type?: string | undefined
  readonly zone?: string | undefined
  readonly market?: string | undefined
}

export const isAt = (fault: Placement, order: Required<Placement>): boolean =>
  (fault.type ?? order.type) === order.type &&
  (fault.zone ?? order.zone) === order.zone &&
  (fault.market ?? order.market) === order.market

const isOf = (family: string | undefined, type: string): boolean =>
  family === undefined || type.startsWith(family.toLowerCase())

/** https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html */
function statusOf(code: string): number {
  if (code === 'AuthFailure') return 401
  if (code === 'UnauthorizedOperation') return 403
  if (/^(Unavailable|ServiceUnavailable|RequestLimitExceeded)$/.test(code)) return 503
  return /^(Insufficient|InternalError)/.test(code) ? 500 : 400
}

const noCapacity = (type: string, zone: string): string =>
  `We currently do not have sufficient ${type} capacity in the Availability Zone you requested (${zone}). ` +
  'Our system will be working on provisioning additional capacity.'

const hexadecimal = (): string => `0${randomBytes(8).toString('hex')}`
