/**
 * What the existing system would hold: an account with points, somebody else's dataset of photographs, and a
 * job, inserted exactly as the UI does it. That insert is the button.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Db, ObjectId } from 'mongodb'
import { z } from 'zod'
import { mongoLedger } from '../../ledger/mongo-ledger.ts'
import type { Family } from '../../recipes/plan.ts'
import type { Store } from '../../storage/store.ts'

const photographsSchema = z
  .array(
    z.object({
      file: z.string(),
      caption: z.string(),
      title: z.string(),
      author: z.string(),
      licence: z.string(),
    }),
  )
  .min(3)

export type Photographs = z.infer<typeof photographsSchema>

export async function readPhotographs(folder: string): Promise<Photographs> {
  return photographsSchema.parse(JSON.parse(await readFile(join(folder, 'captions.json'), 'utf8')))
}

export type Seeded = { readonly trainer: ObjectId; readonly creator: ObjectId; readonly datasetId: ObjectId }

export const openingBalance = 500_000

export async function seed(db: Db, store: Store, folder: string, photographs: Photographs): Promise<Seeded> {
  const [trainer, creator, datasetId] = [new ObjectId(), new ObjectId(), new ObjectId()]
  const key = (file: string) => `photographs/${datasetId.toHexString()}/${file}`
  for (const { file } of photographs) {
    const type = file.endsWith('.png') ? 'image/png' : 'image/jpeg'
    await store.writeFile({ bucket: 'datasets', key: key(file) }, join(folder, file), type)
  }
  const now = new Date()
  await db.collection('datasets').insertOne({
    _id: datasetId,
    name: 'Photographs',
    ownerAccountId: creator,
    createdAt: now,
    updatedAt: now,
    images: photographs.map(({ file }) => key(file)),
    captionSets: [
      {
        _id: new ObjectId(),
        method: 'manual',
        captions: photographs.map(({ caption }) => caption),
        createdBy: creator,
        createdAt: now,
      },
    ],
    usageCount: 0,
    visibility: 'public',
    status: 'ready',
  })
  await mongoLedger(db).topUp(trainer.toHexString(), openingBalance, `demo:${trainer.toHexString()}`)
  return { trainer, creator, datasetId }
}

/** The button. */
export async function insertJob(db: Db, { trainer, datasetId }: Seeded, family: Family): Promise<string> {
  const now = new Date()
  const { insertedId } = await db.collection('trainingJobs').insertOne({
    datasetId,
    ownerAccountId: trainer,
    offeringId: `${family.toLowerCase()}-lora`,
    baseModel: family,
    status: 'QUEUED',
    createdAt: now,
    updatedAt: now,
    modelName: `Photographs ${family}`,
    triggerWord: 'bllws',
  })
  return insertedId.toHexString()
}
