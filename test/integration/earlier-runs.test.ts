import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MongoClient } from 'mongodb'
import { expect, test } from 'vitest'
import { startDatabase } from '../../local/emulator/database.ts'
import { mongoRuns } from '../../src/trainings/mongo-runs.ts'
import { databaseServer } from '../support/database.ts'

test('a run that 0.1.0 asked to finish early is known to have been asked', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'bellows-earlier-runs-'))
  const database = await startDatabase(databaseServer(), directory)
  const client = await new MongoClient(database.url).connect()
  try {
    const run = { _id: 'a'.repeat(24), deployment: 'bellows', number: 1, phase: 'staged', attempts: [] }
    await client
      .db()
      .collection<typeof run & { cutShort: boolean }>('trainingRuns')
      .insertOne({ ...run, cutShort: true })
    expect(await mongoRuns(client.db(), 'bellows').read(run._id)).toMatchObject({ finishedEarly: true })
  } finally {
    await client.close()
    await database.stop()
    await rm(directory, { recursive: true, force: true })
  }
}, 60_000)
