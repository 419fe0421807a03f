/** What Prometheus reads at `/metrics`. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { JobEvent } from './pipeline/events.ts'

export type Metrics = {
  readonly registry: Registry
  record(event: JobEvent): void
  /** A job was taken up, and nothing could be done for it. */
  fruitless(): void
}

export function createMetrics(active: () => number): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const registers = [registry]
  new Gauge({
    name: 'bellows_jobs_active',
    help: 'Jobs that this worker is running',
    registers,
    collect() {
      this.set(active())
    },
  })
  const endings = new Counter({
    name: 'bellows_jobs_ended_total',
    help: 'Jobs by ending',
    labelNames: ['ending'],
    registers,
  })
  const phases = new Counter({
    name: 'bellows_phases_total',
    help: 'Phases reached',
    labelNames: ['phase'],
    registers,
  })
  const failures = new Counter({
    name: 'bellows_failures_total',
    help: 'Failures by reason: of an attempt, which another machine may recover, or of a whole job',
    labelNames: ['reason', 'of'],
    registers,
  })
  const cost = new Counter({
    name: 'bellows_machine_usd_total',
    help: 'Cost of terminated machines',
    registers,
  })
  const step = new Histogram({
    name: 'bellows_step_seconds',
    help: 'Seconds of one training step',
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16],
    registers,
  })

  const fruitless = new Counter({
    name: 'bellows_fruitless_looks_total',
    help: 'Times that a job was taken up and nothing could be done for it',
    registers,
  })

  return {
    registry,
    fruitless: () => fruitless.inc(),
    record({ kind, phase, data = {} }) {
      if (kind === 'phase') phases.inc({ phase })
      else if (kind === 'outcome') endings.inc({ ending: String(data.ending) })
      else if (kind === 'failure')
        failures.inc({ reason: String(data.reason), of: 'faults' in data ? 'job' : 'attempt' })
      else if (kind === 'attempt' && typeof data.costUsd === 'number') cost.inc(data.costUsd)
      else if (kind === 'step' && typeof data.secondsPerStep === 'number') step.observe(data.secondsPerStep)
    },
  }
}
