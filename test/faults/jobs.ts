import { ObjectId } from 'mongodb'
import type { World } from './world.ts'

/** An account with points, a dataset of another account, and a job for it, as the UI inserts them. */
export async function insertJob(
  world: World,
  fields: Record<string, unknown> = {},
  dataset: Record<string, unknown> = {},
): Promise<string> {
  const owner = fields.ownerAccountId instanceof ObjectId ? fields.ownerAccountId : new ObjectId()
  const creator = new ObjectId()
  await world.ledger.topUp(owner.toHexString(), 5000, `top-up:${owner.toHexString()}`)
  const datasetId = world.datasets.insert({
    name: 'Red kites',
    ownerAccountId: creator,
    status: 'ready',
    visibility: 'public',
    images: ['1.jpg', '2.jpg', '3.jpg', '4.jpg'],
    captionSets: [],
    usageCount: 0,
    createdAt: world.clock.now(),
    updatedAt: world.clock.now(),
    ...dataset,
  })
  return world.trainings.insert({
    datasetId: new ObjectId(datasetId),
    ownerAccountId: owner,
    offeringId: 'sdxl-lora',
    baseModel: 'SDXL',
    status: 'QUEUED',
    createdAt: world.clock.now(),
    updatedAt: world.clock.now(),
    ...fields,
  })
}

/** Whether every one of them has come to its end, and its run too. */
export function allEnded(world: World, ids: readonly string[]): boolean {
  return ids.every((id) => {
    const status = world.trainings.document(id)?.status
    return status !== 'QUEUED' && status !== 'RUNNING' && !world.runs.isUnfinished(id)
  })
}
