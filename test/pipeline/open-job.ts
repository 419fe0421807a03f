/** A job in memory, for tests of single steps: the ports that they touch are real ones without a database or a cloud. */
import { openJob } from '../../src/pipeline/job.ts'
import type { Ports } from '../../src/pipeline/ports.ts'
import type { PipelineSettings } from '../../src/pipeline/settings.ts'
import type { Attempt, RunChange } from '../../src/trainings/runs.ts'
import type { Training } from '../../src/trainings/trainings.ts'
import { trainingId } from '../cloud/samples.ts'
import { memoryAlerts } from '../fakes/memory-alerts.ts'
import { memoryBudget } from '../fakes/memory-budget.ts'
import { type MemoryMachinesOptions, memoryMachines } from '../fakes/memory-machines.ts'
import { memoryRuns } from '../fakes/memory-runs.ts'
import { memoryStore } from '../fakes/memory-store.ts'
import { memoryTimeline } from '../fakes/memory-timeline.ts'
import { offers, settings } from '../faults/settings.ts'
import { manualClock } from '../support/manual-clock.ts'

type Options = {
  readonly settings?: Partial<PipelineSettings>
  readonly run?: RunChange
  readonly attempts?: readonly Attempt[]
  readonly moment?: MemoryMachinesOptions['moment']
  readonly offers?: MemoryMachinesOptions['offers']
}

export async function openTestJob(options: Options = {}) {
  const clock = manualClock()
  const runs = memoryRuns(clock.now)
  const budget = memoryBudget()
  const alerts = memoryAlerts(clock.now)
  const store = memoryStore({ now: () => clock.now().getTime() })
  const machines = memoryMachines({
    offers: options.offers ?? offers.slice(0, 1),
    now: clock.now,
    ...(options.moment && { moment: options.moment }),
  })
  const remote = { connect: async () => ({ ready: async () => {}, close: () => {} }) }
  const held = await runs.acquire(trainingId, 'worker', 1e9)
  if (!held) throw new Error('nobody else is there')
  const { lease } = held
  if (options.run) await runs.change(lease, options.run)
  for (const attempt of options.attempts ?? []) await runs.addAttempt(lease, attempt)
  const run = await runs.read(trainingId)
  if (!run) throw new Error('it was just made')
  const parts = { clock, runs, budget, alerts, store, machines, remote, timeline: memoryTimeline() }
  const training = { id: trainingId, offeringId: 'sdxl-lora' } as Training
  const job = openJob({
    training,
    lease,
    run,
    ports: parts as unknown as Ports,
    settings: { ...settings, ...options.settings },
    signal: new AbortController().signal,
    onEvent: () => {},
  })
  return { ...parts, job, lease }
}
