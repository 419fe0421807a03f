/**
 * Scratch files: what a job keeps in the work bucket while it runs, below `jobs/<training id>/`: the prepared
 * dataset and the checkpoints.
 */
import type { Store } from '../storage/store.ts'
import type { Runs } from '../trainings/runs.ts'
import { endings } from './endings.ts'

const folder = 'jobs/'

/** `keepsCheckpoint`: an operator may let the training go on from it. */
export async function removeScratch(
  store: Store,
  trainingId: string,
  keepsCheckpoint: boolean,
): Promise<void> {
  const own = `${folder}${trainingId}/`
  for (const object of await store.list('work', own)) {
    if (keepsCheckpoint && object.key.startsWith(`${own}checkpoint`)) continue
    await store.remove(object)
  }
}

/**
 * Once more for jobs that have ended: a store knows no lease, so a worker that slept through the end of its job,
 * or a request that was slow on its way, can write there afterwards. To be called from time to time.
 */
export async function sweepScratch({ store, runs }: { store: Store; runs: Runs }): Promise<void> {
  const keys = (await store.list('work', folder)).map(({ key }) => key)
  const ids = new Set(keys.map((key) => key.slice(folder.length).split('/', 1)[0] ?? ''))
  for (const id of ids) {
    const run = await runs.read(id)
    if (!run?.endedAt || !run.outcome) continue
    await removeScratch(store, id, endings[run.outcome.ending].keepsCheckpoint)
  }
}
