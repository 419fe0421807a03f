import type { Offer } from '../../src/cloud/machines.ts'
import type { PipelineSettings } from '../../src/pipeline/settings.ts'
import { offer as sampleOffer } from '../cloud/samples.ts'

const minute = 60_000

export const settings: PipelineSettings = {
  worker: 'worker',
  leaseMs: 30_000,
  heartbeatMs: 5_000,
  limits: {
    preparing: 5 * minute,
    ordering: 5 * minute,
    boot: 5 * minute,
    pull: 5 * minute,
    staging: 5 * minute,
    firstStep: 5 * minute,
    stall: 2 * minute,
    stopping: minute,
    shipping: 5 * minute,
    registering: minute,
    teardown: 5 * minute,
  },
  machineCheckMs: 15_000,
  offerings: {
    'sdxl-lora': {
      family: 'SDXL',
      base: 'tiny',
      pricePoints: 1000,
      overrides: { steps: 12, checkpointEvery: 4 },
    },
  },
  images: { SDXL: 'trainer', FLUX: 'trainer', WAN: 'trainer' },
  gpu: false,
  containerMemoryBytes: 2 ** 30,
  pointsPerUsd: 10_000,
  platformFee: 0.2,
  trainerCreditPoints: 100,
  creatorCreditPoints: 50,
  capFactor: 3,
  maxJobUsd: 15,
  budget: { dayUsd: 200, monthUsd: 2000 },
  maxAttempts: 12,
  capacityWaitMs: 120 * minute,
}

const offer = sampleOffer({ usdPerHour: 0.35 })

export const offers: readonly Offer[] = [
  offer,
  { ...offer, zone: 'us-east-1b', usdPerHour: 0.4 },
  { ...offer, market: 'on-demand', usdPerHour: 0.8 },
  { ...offer, type: 'g6e.xlarge', gpu: 'L40S', gpuMemoryGb: 48, market: 'on-demand', usdPerHour: 1.86 },
]
