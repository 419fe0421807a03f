/** What the status page and its JSON show, read from the database. */
import type { Clock } from '../clock.ts'
import type { Budget, BudgetLimits, Spending } from '../ledger/budget.ts'
import { linkTo } from '../models/links.ts'
import type { Store } from '../storage/store.ts'
import { costSoFar } from '../trainings/cost.ts'
import { type Hold, type Phase, phases, type Run, type Runs } from '../trainings/runs.ts'
import type { Timeline, TimelineEvent } from '../trainings/timeline.ts'
import type { NotUnderstood, Pause, TrainingStatus, Trainings } from '../trainings/trainings.ts'

export type Overview = {
  readonly worker: string
  readonly active: readonly string[]
  readonly counts: Readonly<Record<TrainingStatus, number>>
  readonly spending: Spending
  readonly budget: BudgetLimits
  readonly runs: readonly RunSummary[]
  /** Jobs that wait in the queue for a reason. */
  readonly held: readonly (Hold & { readonly id: string })[]
  /** Documents that no claim ever takes. */
  readonly notUnderstood: NotUnderstood
  /** `null`: new jobs are claimed. */
  readonly paused: Pause | null
}

export type RunSummary = {
  readonly id: string
  /** The furthest. */
  readonly phase: string
  /** `held`: in the queue for a reason; `waiting`: for a worker to take it up. */
  readonly state: 'running' | 'ended' | 'held' | 'waiting'
  /** That runs it; empty where none does. */
  readonly worker: string
  readonly hold: Hold | null
  readonly model: string
  readonly step: number
  readonly steps: number
  readonly machine: string
  readonly costUsd: number
  readonly ending: string
  readonly startedAt: Date
}

export type JobStatus = { readonly run: Run; readonly events: readonly TimelineEvent[] }

/** A sample's number begins with 1. */
export type ModelFile = 'model' | { readonly sample: number }

export type Health = {
  readonly healthy: boolean
  readonly active: number
  readonly lastLookAt: Date | undefined
}

export type Status = {
  overview(): Promise<Overview>
  job(trainingId: string): Promise<JobStatus | undefined>
  /** Where it can be fetched, for the next minutes; undefined where there is no such file. */
  link(trainingId: string, file: ModelFile): Promise<string | undefined>
  health(): Health
}

export function statusOf(options: {
  readonly worker: string
  readonly ports: {
    trainings: Trainings
    runs: Runs
    timeline: Timeline
    budget: Budget
    clock: Clock
    store: Store
  }
  readonly budget: BudgetLimits
  readonly active: () => readonly string[]
  readonly health: () => Health
}): Status {
  const { worker, ports, budget, active, health } = options
  return {
    health,
    async overview() {
      const now = ports.clock.now()
      const { trainings, runs } = ports
      const [counts, spending, recent, held, notUnderstood, paused] = await Promise.all([
        trainings.counts(),
        ports.budget.spending(now),
        runs.recent(50),
        runs.held(),
        trainings.notUnderstood(),
        trainings.paused(),
      ])
      return {
        worker,
        active: active(),
        counts,
        spending,
        budget,
        runs: recent.map((run) => summary(run, now)),
        held,
        notUnderstood,
        paused: paused ?? null,
      }
    },
    async job(trainingId) {
      const run = await ports.runs.read(trainingId)
      return run && { run, events: await ports.timeline.read(trainingId) }
    },
    async link(trainingId, file) {
      const result = (await ports.runs.read(trainingId))?.outcome?.result
      const address = file === 'model' ? result?.modelRepoUrl : result?.previewImages[file.sample - 1]
      const link = address && (await linkTo(ports.store, address, linkSeconds))
      return link?.startsWith('s3://') ? undefined : link
    },
  }
}

/** Made when it is followed: long enough to begin a download. */
const linkSeconds = 600

/** What a job has come through. One that never had a machine has none torn down. */
export function reachedPhases({ phaseTimes, attempts }: Run): readonly Phase[] {
  return phases.filter((phase) => phaseTimes[phase] && (phase !== 'torn down' || attempts.length > 0))
}

function stateOf({ endedAt, heldBy, hold }: Run): RunSummary['state'] {
  if (endedAt) return 'ended'
  if (heldBy !== undefined) return 'running'
  return hold ? 'held' : 'waiting'
}

function summary(run: Run, now: Date): RunSummary {
  const machine = run.attempts.at(-1)
  return {
    id: run.id,
    phase: reachedPhases(run).at(-1) ?? run.phase,
    state: stateOf(run),
    worker: run.heldBy ?? '',
    hold: run.endedAt ? null : (run.hold ?? null),
    model: run.plan ? `${run.plan.family} ${run.plan.name}` : '',
    step: run.lastStep ?? 0,
    steps: run.plan?.steps ?? 0,
    machine: machine ? `${machine.offer.type} ${machine.offer.market}` : '',
    costUsd: costSoFar(run.attempts, now),
    ending: run.outcome?.ending ?? '',
    startedAt: run.startedAt,
  }
}
