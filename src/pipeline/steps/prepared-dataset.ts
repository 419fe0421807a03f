/** The prepared dataset in the work bucket: where it is, and how it is made again when it was lost there. */
import { Failure } from '../../failure.ts'
import type { Plan } from '../../recipes/plan.ts'
import { recipes } from '../../recipes/registry.ts'
import type { ObjectRef } from '../../storage/store.ts'
import type { Job } from '../job.ts'
import { checkDataset, discreetly } from './dataset-access.ts'

export function datasetRef(job: Job): ObjectRef {
  return { bucket: 'work', key: `jobs/${job.training.id}/dataset.tar` }
}

/**
 * From the dataset itself, as it was made the first time. Failure('bad-dataset') where that isn't the one any
 * more that the job was planned with: its captions and counts are in the plan.
 */
export async function makeDatasetAgain(job: Job, plan: Plan, signal: AbortSignal): Promise<void> {
  const { store, datasets, prepareDataset } = job.ports
  const lost = 'its prepared copy was lost'
  for (const object of await store.list('work', `jobs/${job.training.id}/dataset`)) await store.remove(object)
  const dataset = await datasets.read(job.training.datasetId ?? '')
  if (!dataset) throw new Failure('bad-dataset', `${lost}, and the dataset is not there any more`)
  const prepared = await discreetly(dataset, job.training.ownerAccountId ?? '', () => {
    checkDataset(dataset)
    return prepareDataset(job.training.id, dataset, recipes[plan.family].limits, signal)
  })
  if (prepared.sha256 === plan.dataset.sha256) return
  throw new Failure('bad-dataset', `${lost}, and it has been changed since this training was planned`)
}
