import type { Job } from '../job.ts'

/** Credits the trainer and the dataset's creator, unless they are one account; and the dataset's record. */
export async function credit(job: Job): Promise<void> {
  if (job.hasReached('credited')) return
  job.begin('crediting')
  const { ledger, datasets } = job.ports
  const { trainerCreditPoints, creatorCreditPoints } = job.settings
  const { id, number, terms } = job.run
  if (!terms) throw new Error(`run ${number} of training ${id} was planned without terms`)
  const { ownerAccountId, creatorAccountId, datasetId } = terms

  const credited: string[] = []
  if (trainerCreditPoints > 0) {
    await ledger.credit(id, 'trainer', ownerAccountId, trainerCreditPoints)
    credited.push(`the trainer with ${trainerCreditPoints} points`)
  }
  if (creatorAccountId && creatorAccountId !== ownerAccountId && creatorCreditPoints > 0) {
    await ledger.credit(id, 'dataset-creator', creatorAccountId, creatorCreditPoints)
    credited.push(`the dataset's creator with ${creatorCreditPoints} points`)
  }
  await datasets.recordTraining(datasetId, id)
  await job.reach('credited', `credited ${credited.join(' and ') || 'no account'}`)
}
