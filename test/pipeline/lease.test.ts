import { expect, test } from 'vitest'
import { keepLease } from '../../src/pipeline/lease.ts'
import type { Ports } from '../../src/pipeline/ports.ts'
import { LeaseLost } from '../../src/trainings/runs.ts'
import { manualClock } from '../support/manual-clock.ts'

const lease = { trainingId: 'training', owner: 'worker', token: 1 }
const settings = { leaseMs: 15_000, heartbeatMs: 2_000 }

/** `renew` is what the database makes of the heartbeats. */
function beating(renew: () => Promise<void>) {
  const clock = manualClock()
  const job = new AbortController()
  const stop = new AbortController()
  const ports = { clock, runs: { renew }, trainings: { read: async () => ({ status: 'RUNNING' }) } }
  const done = keepLease(lease, ports as unknown as Ports, settings, job, stop.signal)
  return { clock, job, stop, done }
}

test('a lease whose heartbeats fail is given up when it has run out, not later', async () => {
  const { clock, job, done } = beating(() => Promise.reject(new Error('the database is away')))
  await clock.advance(14_999)
  expect(job.signal.aborted).toBe(false)
  await clock.advance(1)
  expect(job.signal.reason).toBeInstanceOf(LeaseLost)
  await clock.advance(settings.heartbeatMs)
  await done
})

test('a lease whose heartbeat never comes back is given up just as soon', async () => {
  const { clock, job } = beating(() => new Promise(() => {}))
  await clock.advance(15_000)
  expect(job.signal.reason).toBeInstanceOf(LeaseLost)
})

test('a heartbeat that comes through now and then keeps the lease', async () => {
  let beats = 0
  const { clock, job, stop, done } = beating(async () => {
    if (++beats % 6 !== 0) throw new Error('the database is away')
  })
  await clock.advance(600_000)
  expect(job.signal.aborted).toBe(false)
  stop.abort()
  await done
  expect(clock.sleepers).toBe(0)
})

test('a lease that another worker has by now is given up at the next heartbeat', async () => {
  const { clock, job, done } = beating(() => Promise.reject(new LeaseLost(lease)))
  await clock.advance(settings.heartbeatMs)
  expect(job.signal.reason).toBeInstanceOf(LeaseLost)
  await done
})
