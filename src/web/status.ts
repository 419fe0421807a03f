/** What the status page and its JSON show, read from the database. */
import type { Budget, BudgetLimits, Spending } from '../ledger/budget.ts'
import { costSoFar } from '../pipeline/cost.ts'
import type { Clock } from '../pipeline/ports.ts'
import type { Run, Runs } from '../trainings/runs.ts'
import type { Timeline, TimelineEvent } from '../trainings/timeline.ts'
import type { TrainingStatus, Trainings } from '../trainings/trainings.ts'

export type Overview = {
  readonly worker: string
  readonly active: readonly string[]
  readonly counts: Readonly<Record<TrainingStatus, number>>
  readonly spending: Spending
  readonly budget: BudgetLimits
  readonly runs: readonly RunSummary[]
}

export type RunSummary = {
  readonly id: string
  readonly phase: string
  readonly state: 'running' | 'ended' | 'waiting'
  readonly model: string
  readonly step: number
  readonly steps: number
  readonly machine: string
  readonly costUsd: number
  readonly ending: string
  readonly startedAt: Date
}

export type JobStatus = { readonly run: Run; readonly events: readonly TimelineEvent[] }

export type Health = {
  readonly healthy: boolean
  readonly active: number
  readonly lastLookAt: Date | undefined
}

export type Status = {
  overview(): Promise<Overview>
  job(trainingId: string): Promise<JobStatus | undefined>
  health(): Health
}

export function statusOf(options: {
  readonly worker: string
  readonly ports: { trainings: Trainings; runs: Runs; timeline: Timeline; budget: Budget; clock: Clock }
  readonly budget: BudgetLimits
  readonly active: () => readonly string[]
  readonly health: () => Health
}): Status {
  const { worker, ports, budget, active, health } = options
  return {
    health,
    async overview() {
      const now = ports.clock.now()
      const [counts, spending, runs] = await Promise.all([
        ports.trainings.counts(),
        ports.budget.spending(now),
        ports.runs.recent(50),
      ])
      return {
        worker,
        active: active(),
        counts,
        spending,
        budget,
        runs: runs.map((run) => summary(run, now, active())),
      }
    },
    async job(trainingId) {
      const run = await ports.runs.read(trainingId)
      return run && { run, events: await ports.timeline.read(trainingId) }
    },
  }
}

function summary(run: Run, now: Date, active: readonly string[]): RunSummary {
  const machine = run.attempts.at(-1)
  return {
    id: run.id,
    phase: run.phase,
    state: run.endedAt ? 'ended' : active.includes(run.id) ? 'running' : 'waiting',
    model: run.plan ? `${run.plan.family} ${run.plan.name}` : '',
    step: run.lastStep ?? 0,
    steps: run.plan?.steps ?? 0,
    machine: machine ? `${machine.offer.type} ${machine.offer.market}` : '',
    costUsd: costSoFar(run.attempts, now),
    ending: run.outcome?.ending ?? '',
    startedAt: run.startedAt,
  }
}
