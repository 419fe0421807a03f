/** Where the store keeps what belongs to a training: everything lies below its id. */
import { manifestRef } from '../models/manifest.ts'
import { refusedFolder } from '../pipeline/steps/ship.ts'
import type { ObjectRef, Store } from '../storage/store.ts'

/** In the models bucket: what was published. */
export function publishedObjects(store: Store, trainingId: string): Promise<readonly ObjectRef[]> {
  return store.list('models', `loras/${trainingId}/`)
}

/** In the work bucket: prepared dataset, checkpoints, files on their way, and such as the gate refused. */
export async function scratchObjects(store: Store, trainingId: string): Promise<readonly ObjectRef[]> {
  const scratch = await store.list('work', `jobs/${trainingId}/`)
  return [...scratch, ...(await store.list('work', refusedFolder(trainingId)))]
}

export async function manifestObject(store: Store, trainingId: string): Promise<readonly ObjectRef[]> {
  const ref = manifestRef(trainingId)
  return (await store.info(ref)) ? [ref] : []
}
