import { expect, test } from 'vitest'
import { createMetrics } from '../src/metrics.ts'
import type { JobEventKind } from '../src/pipeline/events.ts'

test('a worker whose only thread was held up says so: the delay of its event loop is a metric', async () => {
  const { registry } = createMetrics(() => 0)
  const longest = async () => {
    const text = await registry.metrics()
    return Number(/^nodejs_eventloop_lag_max_seconds (\S+)$/m.exec(text)?.[1])
  }
  await new Promise((resolve) => setTimeout(resolve, 30)) // the monitor's own timer must have begun
  const end = performance.now() + 400
  while (performance.now() < end);
  await new Promise((resolve) => setTimeout(resolve, 30))
  expect(await longest()).toBeGreaterThan(0.3)
})

/** What `/metrics` says, by name and labels. */
async function said({ registry }: ReturnType<typeof createMetrics>): Promise<Map<string, number>> {
  const lines = (await registry.metrics()).split('\n').filter((line) => line.startsWith('bellows_'))
  return new Map(
    lines.map((line) => [
      line.slice(0, line.lastIndexOf(' ')),
      Number(line.slice(line.lastIndexOf(' ') + 1)),
    ]),
  )
}

test('looks at jobs that lead to nothing are counted, and the jobs that run now', async () => {
  const metrics = createMetrics(() => 3)
  metrics.fruitless()
  metrics.fruitless()
  const counts = await said(metrics)
  expect(counts.get('bellows_fruitless_looks_total')).toBe(2)
  expect(counts.get('bellows_jobs_active')).toBe(3)
})

test('phases, endings, failures, costs and steps are counted from the events that tell of them', async () => {
  const metrics = createMetrics(() => 0)
  const record = (kind: JobEventKind, data: Record<string, unknown>) =>
    metrics.record({ trainingId: 'a', at: new Date(), phase: 'charged', kind, message: '', data })
  record('phase', { phase: 'charged' })
  record('outcome', { ending: 'trained' })
  record('failure', { reason: 'machine-lost' })
  record('failure', { reason: 'store-failed', faults: 1 })
  record('attempt', { number: 1 })
  record('attempt', { number: 1, costUsd: 0.25 })
  record('step', { step: 1 })
  record('step', { step: 2, secondsPerStep: 0.3 })
  const counts = await said(metrics)
  expect(Object.fromEntries(counts)).toMatchObject({
    'bellows_phases_total{phase="charged"}': 1,
    'bellows_jobs_ended_total{ending="trained"}': 1,
    'bellows_failures_total{reason="machine-lost",of="attempt"}': 1,
    'bellows_failures_total{reason="store-failed",of="job"}': 1,
    bellows_machine_usd_total: 0.25,
    bellows_step_seconds_sum: 0.3,
    bellows_step_seconds_count: 1,
    'bellows_step_seconds_bucket{le="0.25"}': 0,
    'bellows_step_seconds_bucket{le="0.5"}': 1,
  })
})
