/**
 * The run: what Bellows itself knows of a training, in its own collection `trainingRuns`, one document
 * a training.
 *
 * A run is held by a lease: owner, token, expiry. The token grows with every acquisition, and every
 * write filters on it: no match means `LeaseLost`, and whoever gets that stops. Expiry is judged by the
 * database's clock, never by a worker's.
 */

import type { Offer } from '../cloud/machines.ts'
import type { Reason } from '../failure.ts'
import type { BaseSize } from '../recipes/base-size.ts'
import type { Family, Plan } from '../recipes/plan.ts'
import type { Estimate } from '../recipes/recipe.ts'
import type { NewTimelineEvent, TimelineEvent } from './timeline.ts'
import type { TrainingResult } from './trainings.ts'

export const phases = [
  'claimed',
  'charged',
  'provisioned',
  'staged',
  'trained',
  'shipped',
  'registered',
  'credited',
  'torn down',
] as const
export type Phase = (typeof phases)[number]

export type Lease = { readonly trainingId: string; readonly owner: string; readonly token: number }

export class LeaseLost extends Error {
  constructor(lease: Lease) {
    super(
      `${lease.owner} no longer holds training ${lease.trainingId} (token ${lease.token}): it has run out, or another worker has it`,
    )
    this.name = 'LeaseLost'
  }
}

/** One machine's try at a job. Written before the cloud is asked, so that nothing is made unknown. */
export type Attempt = {
  readonly number: number
  /** Name of stack, machine and container: `bellows-<training id>-<number>`. */
  readonly name: string
  readonly offer: Offer
  readonly orderedAt: Date
  /** When the machine switches itself off, come what may. */
  readonly deadline: Date
  /** Reserved for it under the job's cap and the budgets. */
  readonly reservedUsd: number
  /** What the recipe said of the whole training there, before any correction. */
  readonly estimate?: Estimate
  readonly instanceId?: string
  readonly host?: string
  readonly readyAt?: Date
  readonly failure?: { readonly reason: Reason; readonly detail: string }
  /** Seen `terminated` and stack removed; absent: it may still exist. */
  readonly tornDownAt?: Date
  readonly costUsd?: number
  /** Teardown could not be proved; somebody has been told. */
  readonly suspectedLeak?: boolean
}

/** How a job ended, decided once and never changed; the existing document follows it. */
export type Outcome = {
  readonly ending: Reason | 'trained' | 'trained-in-part' | 'cancelled'
  /** Shown to the user. */
  readonly sentence: string
  readonly refundPoints: number
  readonly decidedAt: Date
  /** What a trained job gives its document. */
  readonly result?: TrainingResult
}

export type Run = {
  readonly id: string
  readonly phase: Phase
  readonly plan?: Plan
  /** That trains the plan; settled together with it. */
  readonly image?: string
  /** Of the plan's base, where that is known. */
  readonly base?: BaseSize
  /** Points charged, once the ledger has them. */
  readonly chargedPoints?: number
  /** The most that all machines of this job may cost, in USD. */
  readonly capUsd?: number
  readonly attempts: readonly Attempt[]
  /** Last step that was seen, and when; what a pro-rata refund is computed from. */
  readonly lastStep?: number
  /** The trainer was asked to finish with the steps that it has. */
  readonly cutShort?: boolean
  readonly shippedAt?: Date
  readonly modelId?: string
  readonly outcome?: Outcome
  /** Every effect of the outcome is done, and nothing of the job is left. */
  readonly endedAt?: Date
  /** Internal errors met so far, to bound how often a job is taken up again. */
  readonly faults?: number
  /** Perhaps not yet in the timeline: see timeline.ts. */
  readonly lastEvent?: TimelineEvent
  readonly startedAt: Date
  readonly phaseTimes: Readonly<Partial<Record<Phase, Date>>>
}

/** Fields that a step may set; attempts have verbs of their own. */
export type RunChange = Partial<Omit<Run, 'id' | 'attempts' | 'lastEvent' | 'startedAt' | 'phaseTimes'>> & {
  /** Becomes `lastEvent`, with the next number. */
  readonly event?: NewTimelineEvent
}

export interface Runs {
  /** Takes the lease if it is free or expired (making the run if there is none); else undefined. */
  acquire(trainingId: string, owner: string, ttlMs: number): Promise<{ lease: Lease; run: Run } | undefined>
  /** Extends the lease; throws LeaseLost. */
  renew(lease: Lease, ttlMs: number): Promise<void>
  /** Lets go, so that another may take it at once; no error if it was lost. */
  release(lease: Lease): Promise<void>
  read(trainingId: string): Promise<Run | undefined>
  /** The time by the database's clock, which leases are judged by: a worker's own may be wrong. */
  now(): Promise<Date>
  /** Sets fields; a new `phase` is stamped in `phaseTimes`, and never goes back. Throws LeaseLost. */
  change(lease: Lease, change: RunChange): Promise<Run>
  /** Adds an attempt; one with that number is there already: left as it is. Throws LeaseLost. */
  addAttempt(lease: Lease, attempt: Attempt): Promise<Run>
  changeAttempt(lease: Lease, number: number, change: Partial<Omit<Attempt, 'number' | 'name'>>): Promise<Run>
  /** Runs that have not ended and that no live lease holds; oldest first. */
  unfinished(limit: number): Promise<readonly string[]>
  /** Runs with an attempt that is not torn down, whoever holds them: what the reaper compares with. */
  withMachines(): Promise<readonly Run[]>
  /** Runs that trained every step on their only machine, one with that GPU; newest first. */
  trainedInOneGo(family: Family, gpu: string, limit: number): Promise<readonly Run[]>
  /** Newest first, for the status page. */
  recent(limit: number): Promise<readonly Run[]>
}
