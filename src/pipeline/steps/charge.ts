import type { Job } from '../job.ts'

/** Charges the trainer what the run was agreed on. Evidence: the ledger's row of this run, which is written at most once. */
export async function charge(job: Job): Promise<void> {
  if (job.hasReached('charged')) return
  job.begin('charging')
  const { ledger, trainings } = job.ports
  const { id, number, terms } = job.run
  if (!terms) throw new Error(`run ${number} of training ${id} was planned without terms`)

  const movement = await ledger.charge(
    { trainingId: id, run: number },
    terms.ownerAccountId,
    terms.pricePoints,
  )
  const points = -movement.points
  await job.change({ chargedPoints: points })
  await trainings.recordCharge(id, points, movement.at)
  await job.reach('charged', `charged ${points} points`)
}
