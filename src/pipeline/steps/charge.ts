import { pricePoints } from '../../recipes/offerings.ts'
import type { Plan } from '../../recipes/plan.ts'
import type { Job } from '../job.ts'

/** Charges the trainer. Evidence: the ledger's row `charge:<job>`, which is written at most once. */
export async function charge(job: Job, plan: Plan): Promise<void> {
  if (job.hasReached('charged')) return
  job.begin('charging')
  const { ledger, trainings } = job.ports
  const { id, ownerAccountId, offeringId } = job.training
  const offering = job.settings.offerings[offeringId ?? '']
  if (!ownerAccountId || !offering) throw new Error(`training ${id} has lost its account or its offering`)

  const price = pricePoints(offering, plan, job.settings)
  const movement = await ledger.charge(id, ownerAccountId, price)
  const points = -movement.points
  await job.change({ chargedPoints: points })
  await trainings.recordCharge(id, points, movement.at)
  await job.reach('charged', `charged ${points} points`)
}
