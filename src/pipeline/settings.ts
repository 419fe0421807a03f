import type { Family } from '../family.ts'
import type { BudgetLimits } from '../ledger/budget.ts'
import type { Offering } from '../recipes/offerings.ts'
import type { Limits } from './limits.ts'

/** What an operator decides about jobs; `config.ts` reads it from the environment. */
export type PipelineSettings = {
  /** This worker, as leases and events name it. */
  readonly worker: string
  readonly leaseMs: number
  /** Between two looks at the lease and at the document's status (for `CANCELLED`). */
  readonly heartbeatMs: number
  readonly limits: Limits
  /** Between two looks at whether the cloud still has the machine. */
  readonly machineCheckMs: number
  /** Fields of other systems in a training's document, however much they look like ours. Default: none. */
  readonly foreignFields?: readonly string[]
  /** By `offeringId`. */
  readonly offerings: Readonly<Record<string, Offering>>
  readonly images: Readonly<Record<Family, string | undefined>>
  /** Whether containers get the GPU; off where there is none. */
  readonly gpu: boolean
  /** Memory of the trainer's container. */
  readonly containerMemoryBytes: number
  readonly pointsPerUsd: number
  readonly platformFee: number
  readonly trainerCreditPoints: number
  readonly creatorCreditPoints: number
  /** A job's cap is its estimate's cost times this, and at most `maxJobUsd`. */
  readonly capFactor: number
  readonly maxJobUsd: number
  readonly budget: BudgetLimits
  /** Machines over the whole life of a job. */
  readonly maxAttempts: number
  /** How long a job waits in the queue for capacity before it ends. */
  readonly capacityWaitMs: number
}
