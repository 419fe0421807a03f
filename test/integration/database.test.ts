import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MongoClient } from 'mongodb'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startDatabase } from '../../local/emulator/database.ts'
import { databaseServer } from '../support/database.ts'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bellows-database-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

async function withClient<T>(url: string, use: (client: MongoClient) => Promise<T>): Promise<T> {
  const client = await new MongoClient(url, { serverSelectionTimeoutMS: 2000 }).connect()
  try {
    return await use(client)
  } finally {
    await client.close()
  }
}

const durably = { writeConcern: { w: 'majority', journal: true } } as const

test('what was written is there after a stop and a new start', async () => {
  const { binary } = databaseServer()
  const first = await startDatabase({ binary }, directory)
  await withClient(first.url, (client) => client.db('shop').collection('cups').insertOne({ colour: 'blue' }))
  await first.stop()
  const second = await startDatabase({ binary }, directory)
  const cup = await withClient(second.url, (client) => client.db('shop').collection('cups').findOne({}))
  await second.stop()
  expect(cup?.colour).toBe('blue')
}, 60_000)

test('acknowledged writes survive a server that is killed', async () => {
  const { binary } = databaseServer()
  const first = await startDatabase({ binary }, directory)
  const pid = Number(
    execFileSync('pgrep', ['-f', join(directory, 'data')], { encoding: 'utf8' }).split('\n')[0],
  )
  let acknowledged = 0
  await withClient(first.url, async (client) => {
    const cups = client.db('shop').collection('cups')
    for (; acknowledged < 100; acknowledged++) await cups.insertOne({ number: acknowledged }, durably)
    process.kill(pid, 'SIGKILL')
  })
  await first.stop()
  const second = await startDatabase({ binary }, directory)
  const count = await withClient(second.url, (client) =>
    client.db('shop').collection('cups').countDocuments(),
  )
  await second.stop()
  expect(count).toBe(acknowledged)
}, 60_000)

test('a stopped server does not answer, and stopping it again is fine', async () => {
  const { url, stop } = await startDatabase(databaseServer(), directory)
  await stop()
  await stop()
  await expect(withClient(url, async () => {})).rejects.toThrow()
}, 60_000)

test('a server that is not there is named', async () => {
  await expect(startDatabase({ binary: '/nowhere/mongod' }, directory)).rejects.toThrow(
    'the database server /nowhere/mongod could not be started',
  )
})

test('a server that stops at once is reported with its last words', async () => {
  await expect(startDatabase({ binary: '/bin/false' }, directory)).rejects.toThrow('stopped at once')
})
