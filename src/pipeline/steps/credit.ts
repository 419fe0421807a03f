import type { Job } from '../job.ts'

/** Credits the trainer and the dataset's creator, unless they are one account; and the dataset's record. */
export async function credit(job: Job): Promise<void> {
  if (job.hasReached('credited')) return
  job.begin('crediting')
  const { ledger, datasets } = job.ports
  const { trainerCreditPoints, creatorCreditPoints } = job.settings
  const { id, ownerAccountId, datasetId } = job.training
  if (!ownerAccountId || !datasetId) throw new Error(`training ${id} has lost its account or its dataset`)

  const dataset = await datasets.read(datasetId)
  if (trainerCreditPoints > 0) await ledger.credit(id, 'trainer', ownerAccountId, trainerCreditPoints)
  const creator = dataset?.ownerAccountId
  if (creator && creator !== ownerAccountId && creatorCreditPoints > 0) {
    await ledger.credit(id, 'dataset-creator', creator, creatorCreditPoints)
  }
  if (dataset) await datasets.recordTraining(datasetId, id)
  await job.reach('credited', 'trainer and dataset creator are credited')
}
