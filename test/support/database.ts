/**
 * A real database for a test file: a server of its own (or the one at `MONGODB_URL`) and a fresh database
 * in it.
 */
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Db, MongoClient } from 'mongodb'
import { afterAll, beforeAll } from 'vitest'
import { type DatabaseServer, startDatabase } from '../../local/emulator/database.ts'
import { devEnvironment } from './dev-environment.ts'

export type TestDatabase = {
  readonly db: Db
  /** For processes of a test's own; the database's name is `db.databaseName`. */
  readonly url: string
}

/** Call it at the top of a `describe`; the fields are there once the tests run. */
export function testDatabase(): TestDatabase {
  let client: MongoClient | undefined
  let url = ''
  let stop = async () => {}
  const name = `test-${randomUUID().slice(0, 8)}`

  beforeAll(async () => {
    if (devEnvironment.mongo.url) url = devEnvironment.mongo.url
    else {
      const directory = await mkdtemp(join(tmpdir(), 'bellows-database-'))
      const database = await startDatabase(databaseServer(), directory)
      url = database.url
      stop = async () => {
        await database.stop()
        await rm(directory, { recursive: true, force: true })
      }
    }
    client = await new MongoClient(url).connect()
  }, 60_000)

  afterAll(async () => {
    await client?.db(name).dropDatabase()
    await client?.close()
    await stop()
  }, 60_000)

  return {
    get db() {
      if (!client) throw new Error('the database is there once the tests run')
      return client.db(name)
    },
    get url() {
      return url
    },
  }
}

/** @throws where the set-up has no server of its own to start, but the one at `MONGODB_URL` */
export function databaseServer(): DatabaseServer {
  const { binary } = devEnvironment.mongo
  if (!binary) throw new Error('this test starts a server of its own: run it without MONGODB_URL')
  return { binary }
}
