/** Values for tests that care about a few of their fields. */
import type { CloudResource, MachineOrder, Offer } from '../../src/cloud/machines.ts'
import type { Attempt, Run } from '../../src/trainings/runs.ts'

export const trainingId = '665f1c2ab7d4e8a1c0de0001'
export const name = `bellows-${trainingId}-1`

export const offer = (change: Partial<Offer> = {}): Offer => ({
  provider: 'aws',
  type: 'g6.xlarge',
  gpu: 'L4',
  gpus: 1,
  gpuMemoryGb: 24,
  region: 'us-east-1',
  zone: 'us-east-1a',
  market: 'spot',
  usdPerHour: 0.4,
  ...change,
})

export const order = (change: Partial<MachineOrder> = {}): MachineOrder => ({
  name,
  trainingId,
  attempt: 1,
  offer: offer(),
  diskGb: 100,
  lifetimeSeconds: 3_600,
  deadline: new Date(Date.now() + 3_900_000),
  ...change,
})

export const found = (change: Partial<CloudResource> = {}): CloudResource => ({
  kind: 'instance',
  id: 'i-0000000000000000a',
  name,
  trainingId,
  attempt: 1,
  createdAt: new Date('2026-11-23T10:00:00Z'),
  ...change,
})

export const attempt = (change: Partial<Attempt> = {}): Attempt => ({
  number: 1,
  name,
  offer: offer(),
  orderedAt: new Date('2026-11-23T10:00:00Z'),
  deadline: new Date('2026-11-23T14:00:00Z'),
  reservedUsd: 1,
  ...change,
})

export const run = (change: Partial<Run> = {}): Run =>
  ({
    id: trainingId,
    phase: 'charged',
    number: 1,
    deployment: 'bellows-test',
    earlierAttempts: [],
    attempts: [attempt()],
    startedAt: new Date('2026-11-23T09:59:00Z'),
    phaseTimes: {},
    ...change,
  }) as Run
