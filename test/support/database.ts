/**
 * A real database for a test file: a server of its own (or the one at `MONGODB_URL`) and a fresh database
 * in it. The server is `BELLOWS_DATABASE_SERVER`, a `mongod` on the path, or the set-up's in the cache.
 */
import { randomUUID } from 'node:crypto'
import { access, glob, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { type Db, MongoClient } from 'mongodb'
import { afterAll, beforeAll } from 'vitest'
import { startDatabase } from '../../src/local/database.ts'
import { cacheFolder } from '../../tools/setup/cache.ts'

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
    if (process.env.MONGODB_URL) url = process.env.MONGODB_URL
    else {
      const directory = await mkdtemp(join(tmpdir(), 'bellows-database-'))
      const database = await startDatabase({ binary: await findServer() }, directory)
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

/** Throws with what to do where there is none. */
export async function findServer(): Promise<string> {
  const onPath = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'mongod'))
  for (const path of [process.env.BELLOWS_DATABASE_SERVER ?? '', ...onPath])
    if (await exists(path)) return path
  const cache = cacheFolder()
  for await (const path of glob('*/{mongod,secantusd-rs,bin/secantusd-rs}', { cwd: cache }))
    return join(cache, path)
  throw new Error('there is no MongoDB server: run the set-up first, or set MONGODB_URL')
}

async function exists(path: string): Promise<boolean> {
  return (
    path !== '' &&
    access(path).then(
      () => true,
      () => false,
    )
  )
}
