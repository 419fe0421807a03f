/**
 * What the existing system would hold: an account with points, another user's dataset of photographs (and a clip), and
 * a job, inserted exactly as the UI does it. That insert is the button.
 */
import { readFile } from 'node:fs/promises'
import { basename, extname, join } from 'node:path'
import { type Db, ObjectId } from 'mongodb'
import { z } from 'zod'
import type { Family } from '../../src/family.ts'
import { mongoLedger } from '../../src/ledger/mongo-ledger.ts'
import type { Store } from '../../src/storage/store.ts'

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

/** An image or a clip on this computer. */
export type Picture = { readonly path: string; readonly caption: string }

export async function readPhotographs(folder: string): Promise<readonly Picture[]> {
  const all = photographsSchema.parse(JSON.parse(await readFile(join(folder, 'captions.json'), 'utf8')))
  return all.map(({ file, caption }) => ({ path: join(folder, file), caption }))
}

export type Seeded = { readonly trainer: ObjectId; readonly creator: ObjectId; readonly datasetId: ObjectId }

export const openingBalance = 500_000

export async function seed(db: Db, store: Store, pictures: readonly Picture[]): Promise<Seeded> {
  const [trainer, creator, datasetId] = [new ObjectId(), new ObjectId(), new ObjectId()]
  const key = (path: string) => `datasets/${datasetId.toHexString()}/${basename(path)}`
  for (const { path } of pictures) {
    const type = extname(path) === '.mp4' ? 'video/mp4' : 'image/jpeg'
    await store.writeFile({ bucket: 'datasets', key: key(path) }, path, type)
  }
  const now = new Date()
  await db.collection('datasets').insertOne({
    _id: datasetId,
    name: 'Photographs',
    ownerAccountId: creator,
    createdAt: now,
    updatedAt: now,
    images: pictures.map(({ path }) => key(path)),
    captionSets: [
      {
        _id: new ObjectId(),
        method: 'manual',
        captions: pictures.map(({ caption }) => caption),
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
