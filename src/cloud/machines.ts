/** GPU machines to rent, in our words. The adapter runs one Pulumi stack a machine. */
export type Offer = {
  readonly provider: 'aws'
  /** Such as `g6.xlarge`. */
  readonly type: string
  readonly gpu: string
  readonly gpus: number
  readonly gpuMemoryGb: number
  readonly region: string
  readonly zone: string
  readonly market: 'spot' | 'on-demand'
  readonly usdPerHour: number
}

export type Requirements = { readonly gpuMemoryGb: number; readonly gpus: number; readonly diskGb: number }

export type MachineOrder = {
  /** Stack and machine name, unique: `bellows-<training id>-<attempt>`. */
  readonly name: string
  readonly trainingId: string
  readonly attempt: number
  readonly offer: Offer
  /** As noted when it was had, of an order that is repeated: it is found by this where its tags are not shown yet. */
  readonly instanceId?: string
  /** At least; it is more where the machine's own image does not fit. */
  readonly diskGb: number
  /** The machine switches itself off this long after its launch, with or without a worker: the reserved time. */
  readonly lifetimeSeconds: number
  /** It also switches itself off at this time, whenever it was launched. */
  readonly deadline: Date
}

/** A machine that exists; SSH may not answer yet. */
export type Machine = {
  readonly name: string
  readonly instanceId: string
  readonly host: string
  readonly zone: string
}

export type OrderedMachine = Machine & {
  /** By the cloud's clock; if several were made under this name, the first's. Billing starts here. */
  readonly launchedAt: Date
  /** Something that an operator should know about how it was obtained. */
  readonly warning?: string
}

/** What a release observed. */
export type Released = {
  /** When the first machine of that name was launched; undefined where none was ever seen, and nothing is billed. */
  readonly launchedAt: Date | undefined
  /** Something that an operator should know about how it went. */
  readonly warning?: string
}

export type MachineState =
  | { readonly state: 'absent' }
  | {
      readonly state: 'pending' | 'running' | 'stopping' | 'terminated'
      readonly instanceId: string
      readonly reason?: string
    }

/** What exists in the cloud under this deployment's tags, for the reaper. */
export type CloudResource = {
  readonly kind: 'instance' | 'volume' | 'key-pair' | 'security-group' | 'stack'
  readonly id: string
  readonly name: string
  readonly trainingId: string | undefined
  readonly attempt: number | undefined
  readonly createdAt: Date | undefined
}

export interface Machines {
  /** Those that suffice, cheapest first. */
  offers(need: Requirements): Promise<readonly Offer[]>
  /**
   * Makes the machine, or returns the one of that name. Safe to repeat. Throws Failure('no-capacity')
   * where another offer may do, Failure('misconfigured') where the operator has to fix a setting, Failure('internal')
   * where no offer will.
   */
  order(order: MachineOrder, signal: AbortSignal): Promise<OrderedMachine>
  /** `instanceId`, where one was noted: EC2 shows a machine by its id before it shows it by its tags. */
  state(name: string, instanceId?: string): Promise<MachineState>
  /**
   * What the machine's kernel and first boot have written, as plain text: the only evidence from a machine that
   * SSH never reached. Undefined where there is nothing (yet).
   */
  console(name: string): Promise<string | undefined>
  /**
   * Removes machine and stack: terminates by tag first, then repairs the engine's state: money first.
   * Returns once the machine was seen terminated and the stack is gone; throws if that fails.
   * Safe to repeat; nothing to remove is fine. A failure of one machine does not affect another.
   */
  release(name: string): Promise<Released>
  existing(): Promise<readonly CloudResource[]>
}
