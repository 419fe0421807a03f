import { expect, test } from 'vitest'
import { createMetrics } from '../src/metrics.ts'

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
