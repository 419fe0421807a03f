/** What the resource types act on: the state of the clouds, the machines and the buckets. */
import type { Caller } from '../ec2/caller.ts'
import type { Instances } from '../ec2/instances.ts'
import type { Retries } from '../ec2/retries.ts'
import type { Buckets } from './buckets.ts'
import type { Faults } from './faults.ts'
import type { State } from './state.ts'

export type EmulatorState = {
  readonly state: State
  readonly instances: Instances
  readonly buckets: Buckets
  readonly faults: Faults
  /** Who asks, and may be refused. */
  readonly caller: Caller
  /** How often they ask before they take a refusal for one. Default: once. */
  readonly retries?: Retries
}
