/** Whose datasets a job may train on, and whom it tells what is wrong inside them. */
import type { Dataset } from '../../datasets/datasets.ts'
import { Failure } from '../../failure.ts'
import { cut, printable, quoted } from '../../text.ts'

/** Throws where it isn't there, or isn't the account's to train on. Nothing in it is looked at before. */
export function accessible(dataset: Dataset | undefined, id: string, accountId: string): Dataset {
  if (!dataset) throw bad(`there is no dataset ${id}`)
  if (isOpen(dataset, accountId) || dataset.accessControl.includes(accountId)) return dataset
  throw bad(`the dataset ${shown(id)} belongs to another account, which has not shared it`)
}

export function checkDataset({ name, status, images, problem }: Dataset): void {
  if (problem !== undefined) throw bad(problem)
  if (status !== 'ready' && status !== 'locked')
    throw bad(`${quoted(name)} is not ready (its status is ${quoted(status)})`)
  if (images.length === 0) throw bad(`${quoted(name)} has no images`)
}

/** A private dataset may be shared to be trained on: its names, captions and files are still its owner's. */
export async function discreetly<T>(
  dataset: Dataset,
  accountId: string,
  work: () => T | Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const isOfIt = error instanceof Failure && error.reason === 'bad-dataset'
    if (!isOfIt || isOpen(dataset, accountId)) throw error
    const detail = `something is wrong with the dataset ${shown(dataset.id)}, and what it is only its owner is told`
    throw new Failure('bad-dataset', detail, { evidence: error.message, cause: error })
  }
}

/** To the account, in all that it holds. */
function isOpen({ ownerAccountId, visibility }: Dataset, accountId: string): boolean {
  return ownerAccountId === accountId || visibility === 'public' || visibility === 'unlisted'
}

function shown(id: string): string {
  return cut(printable(id), 80)
}

function bad(detail: string): Failure {
  return new Failure('bad-dataset', detail)
}
