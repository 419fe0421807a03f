/**
 * What Bellows itself knows of a training, in its own collection `trainingRuns`, one document a training. A run is one
 * go at it, from claim to ending. A training that was ended and is queued again gets another run (`restart`) with the
 * next number: the earlier one's story is kept in `earlier`, its machines in `earlierAttempts`.
 *
 * A run belongs to one deployment (deployment.ts): no other ever takes it up, counts it or judges its machines.
 *
 * A run is held by a lease: owner, token, expiry. The token grows with every acquisition, and every
 * write filters on it: no match means `LeaseLost`, and the worker stops. Expiry is judged by the
 * database's clock, never by a worker's. A lease that was not released when another takes it means that its worker
 * died: `crashes` counts those since the last progress. Progress is a phase reached or a step that none was before; it
 * also forgets `faults`.
 */
import type { BaseSize } from '../bases/base-size.ts'
import type { Offer } from '../cloud/machines.ts'
import type { Excludes, Reason } from '../failure.ts'
import type { Family } from '../family.ts'
import type { Plan } from '../recipes/plan.ts'
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
  /** How long the machine may live, from its launch. */
  readonly lifetimeSeconds?: number
  /** When the machine is off, come what may: the latest that it may be launched counts until its launch is known. */
  readonly deadline: Date
  /** Reserved for it under the job's cap and the budgets. */
  readonly reservedUsd: number
  /** What the recipe said of the whole training there, before any correction. */
  readonly estimate?: Estimate
  readonly instanceId?: string
  readonly host?: string
  /** By the cloud's clock; absent: no machine was seen. */
  readonly launchedAt?: Date
  readonly readyAt?: Date
  readonly failure?: {
    readonly reason: Reason
    readonly detail: string
    readonly excludes?: Excludes
    /** Absent in those of 0.1.0. */
    readonly at?: Date
  }
  /** Seen `terminated` and stack removed; absent: it may still exist. */
  readonly tornDownAt?: Date
  readonly costUsd?: number
  /** Teardown could not be proved; an operator has been told. */
  readonly suspectedLeak?: boolean
}

/** Fields of an attempt that a step may set. */
export type AttemptChange = Partial<Omit<Attempt, 'number' | 'name'>>

/** How a job ended, decided once and never changed; the existing document follows it. */
export type Outcome = {
  readonly ending: Reason | 'trained' | 'trained-in-part' | 'cancelled'
  /** Shown to the user. */
  readonly sentence: string
  /** What the sentence keeps back, for operators. */
  readonly detail?: string
  readonly refundPoints: number
  readonly decidedAt: Date
  /** What a trained job gives its document. */
  readonly result?: TrainingResult
}

/** What a run was agreed on when it was planned: the document may change or vanish after that, and this holds. */
export type Terms = {
  readonly ownerAccountId: string
  readonly datasetId: string
  readonly offeringId: string
  readonly modelName?: string
  /** Who owned the dataset then. */
  readonly creatorAccountId?: string
  /** Whose captions it is trained on. */
  readonly captionSetId?: string
  readonly pricePoints: number
}

/** Why a job waits in the queue although its turn has come, and until when. */
export type Hold = {
  /** A phrase for people, such as `the budget of this day is used up`. */
  readonly reason: string
  readonly since: Date
  /** Next try. */
  readonly until: Date
}

/** What a job has waited for since it last went on. */
export type Waiting = {
  /** When it began to, by what it waits for. */
  readonly since: Readonly<Partial<Record<Reason, Date>>>
  /** When it last went back to the queue: what was refused before may be had by now. */
  readonly roundEndedAt: Date
  /** The reason as the timeline last told it: a try that changes nothing is not told again. */
  readonly told: string
  /** Orders that were refused without a machine and are forgotten, by offer. */
  readonly refusals?: Readonly<Record<string, number>>
}

/** A run that ended before the present one; its events are in the timeline. */
export type EarlierRun = Pick<Run, 'number' | 'startedAt' | 'endedAt' | 'phase' | 'outcome' | 'chargedPoints'>

export type Run = {
  readonly id: string
  /** From 1; a training that is queued again after its end gets the next. */
  readonly number: number
  /** Identity of the deployment that claimed it. */
  readonly deployment: string
  readonly earlier?: readonly EarlierRun[]
  readonly phase: Phase
  readonly terms?: Terms
  readonly plan?: Plan
  /** That trains the plan; settled together with it. */
  readonly image?: string
  /** `sha256:…` that its tag led to on the first machine; every machine runs that. */
  readonly imageDigest?: string
  /** Of the plan's base, where that is known. */
  readonly base?: BaseSize
  /** Points charged, once the ledger has them. */
  readonly chargedPoints?: number
  /** The most that all machines of this job may cost, in USD. */
  readonly capUsd?: number
  /** Machines of this run. */
  readonly attempts: readonly Attempt[]
  /** The highest number that a forgotten attempt had: no later one may have its name. */
  readonly forgottenUpTo?: number
  /** Machines of earlier runs of this training. */
  readonly earlierAttempts: readonly Attempt[]
  /** Last step that was seen, and when; what a pro-rata refund is computed from. */
  readonly lastStep?: number
  /** The trainer was asked to finish with the steps that it has. */
  readonly finishedEarly?: boolean
  /** Where its files are published in the models bucket; it can't be guessed. */
  readonly publicFolder?: string
  readonly shippedAt?: Date
  readonly modelId?: string
  readonly outcome?: Outcome
  /** The document has got its ending: it is not written again, since a user may have queued it anew. */
  readonly toldAt?: Date
  /** Every effect of the outcome is done, and nothing of the job is left. */
  readonly endedAt?: Date
  /** Set while the job waits; it is `QUEUED` then. */
  readonly hold?: Hold
  /** When it began to wait, over all tries since it last went on. */
  readonly heldSince?: Date
  readonly waiting?: Waiting
  /** Failures since the last progress, by reason and step (`store-failed in shipping`). */
  readonly faults?: Readonly<Record<string, number>>
  /** Workers that died with it since the last progress. */
  readonly crashes?: number
  /** Perhaps not yet in the timeline: see timeline.ts. */
  readonly lastEvent?: TimelineEvent
  readonly startedAt: Date
  readonly phaseTimes: Readonly<Partial<Record<Phase, Date>>>
  /** Worker whose lease was live when it was read by `read` or `recent`. */
  readonly heldBy?: string
}

/** Fields that a step may set; attempts have verbs of their own. */
export type RunChange = Partial<
  Omit<
    Run,
    | 'id'
    | 'number'
    | 'deployment'
    | 'earlier'
    | 'attempts'
    | 'earlierAttempts'
    | 'forgottenUpTo'
    | 'lastEvent'
    | 'startedAt'
    | 'phaseTimes'
    | 'hold'
    | 'crashes'
    | 'heldBy'
  >
> & {
  /** `null`: the job waits no more. */
  readonly hold?: Hold | null
  /** Becomes `lastEvent`, with the next number. */
  readonly event?: NewTimelineEvent
}

export interface Runs {
  /**
   * Takes the lease if it is free or expired (making the run if there is none); undefined if another worker holds it, or
   * the run is another deployment's.
   */
  acquire(trainingId: string, owner: string, ttlMs: number): Promise<{ lease: Lease; run: Run } | undefined>
  /** Extends the lease; throws LeaseLost. */
  renew(lease: Lease, ttlMs: number): Promise<void>
  /** Lets go, so that another may take it at once; no error if it was lost. */
  release(lease: Lease): Promise<void>
  read(trainingId: string): Promise<Run | undefined>
  /** The time by the database's clock, which leases are judged by: a worker's own may be wrong. */
  now(): Promise<Date>
  /** Sets fields; a new `phase` is stamped in `phaseTimes`, and never goes back, nor does `lastStep`. Throws LeaseLost. */
  change(lease: Lease, change: RunChange): Promise<Run>
  /** The next run of a training whose run has ended; one that has not is left as it is. Throws LeaseLost. */
  restart(lease: Lease): Promise<Run>
  /**
   * Adds an attempt, and makes `event` the last one, in one write; one with that number is there already: all is left as it
   * is. Numbers count over all runs. Throws LeaseLost.
   */
  addAttempt(lease: Lease, attempt: Attempt, event?: NewTimelineEvent): Promise<Run>
  /** Sets fields of an attempt, and makes `event` the last one, in one write. Throws LeaseLost. */
  changeAttempt(lease: Lease, number: number, change: AttemptChange, event?: NewTimelineEvent): Promise<Run>
  /**
   * Drops attempts that are torn down; others stay, whatever is asked. What they leave is `forgottenUpTo`, so that no name
   * is ever given twice. Throws LeaseLost.
   */
  forgetAttempts(lease: Lease, numbers: readonly number[]): Promise<Run>
  /** Runs that have not ended, that wait for nothing and that no live lease holds; oldest first. */
  unfinished(limit: number): Promise<readonly string[]>
  /** Runs whose job waits in the queue, held or not; oldest first. */
  held(): Promise<readonly (Hold & { readonly id: string })[]>
  /** Ended runs of that account since then, newest first, at most `limit`. */
  endedOf(accountId: string, since: Date, limit: number): Promise<readonly Run[]>
  /** Runs with an attempt, of whichever run, that is not torn down, held or not: what the reaper compares with. */
  withMachines(): Promise<readonly Run[]>
  /** Runs that trained every step on their only machine, one with that GPU; newest first. */
  completedOnFirstAttempt(family: Family, gpu: string, limit: number): Promise<readonly Run[]>
  /** Newest first, for the status page. */
  recent(limit: number): Promise<readonly Run[]>
}

/** The number of a training's next attempt, which none has had before. */
export function nextNumber(run: Run): number {
  return 1 + Math.max(0, run.forgottenUpTo ?? 0, ...allAttempts(run).map(({ number }) => number))
}

/** A machine came of it. */
export function launched({ launchedAt, instanceId }: Attempt): boolean {
  return launchedAt !== undefined || instanceId !== undefined
}

/** Every machine of the training, of its earlier runs too. */
export function allAttempts({ earlierAttempts, attempts }: Run): readonly Attempt[] {
  return [...earlierAttempts, ...attempts]
}
