/** `bellows pause` and `bellows resume`, as an operator types them, with a database and nothing else. */
import { join } from 'node:path'
import { execa } from 'execa'
import { ObjectId } from 'mongodb'
import { expect, test } from 'vitest'
import { deploymentIdentity } from '../../src/trainings/deployment.ts'
import { mongoTrainings } from '../../src/trainings/mongo-trainings.ts'
import { testDatabase } from '../support/database.ts'

const root = join(import.meta.dirname, '../..')
const database = testDatabase()
const limits = { running: 5, runningPerOwner: 5 }

function bellows(options: readonly string[], settings: Readonly<Record<string, string>> = {}) {
  return execa(process.execPath, ['src/cli.ts', ...options], {
    cwd: root,
    env: {
      MONGODB_URL: database.url,
      MONGODB_DATABASE: database.db.databaseName,
      BELLOWS_DEPLOYMENT: 'studio',
      ...settings,
    },
    extendEnv: false,
    reject: false,
  })
}

async function queueOf(environment?: 'production') {
  const deployment = await deploymentIdentity(database.db, 'studio', environment)
  return mongoTrainings(database.db, { deployment, ...(environment && { environment }) })
}

test('after a pause no worker of the deployment claims, and after resume they do', async () => {
  await database.db.collection('trainingJobs').insertOne({
    _id: new ObjectId(),
    status: 'QUEUED',
    ownerAccountId: new ObjectId(),
    createdAt: new Date(),
  })
  const queue = await queueOf()
  const paused = await bellows(['pause', 'new\u001b[31m images'])
  expect(paused).toMatchObject({ exitCode: 0, stderr: '' })
  expect(paused.stdout).toMatch(
    /^No worker claims a new job since 20.*Z: new images\. Jobs that run go on\.$/,
  )
  expect(await queue.paused()).toMatchObject({ by: 'new images' })
  expect(await queue.claim(limits)).toBeUndefined()
  expect(await (await queueOf('production')).paused()).toBeUndefined()

  expect(await bellows(['resume'])).toMatchObject({ exitCode: 0, stdout: 'Workers claim new jobs.' })
  expect(await queue.paused()).toBeUndefined()
  expect(await queue.claim(limits)).toBeDefined()
}, 60_000)

test('the environment names the deployment, and a pause needs no reason', async () => {
  await queueOf('production')
  await bellows(['pause'], { BELLOWS_ENVIRONMENT: 'production' })
  expect(await (await queueOf('production')).paused()).toMatchObject({ by: 'paused by an operator' })
  expect(await (await queueOf()).paused()).toBeUndefined()
}, 60_000)

test('a misspelt deployment is refused with the names that exist, and none is made', async () => {
  await queueOf()
  await queueOf('production')
  const { exitCode, stdout, stderr } = await bellows(['pause'], { BELLOWS_DEPLOYMENT: 'stdio' })
  expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' })
  expect(stderr).toBe(
    'No deployment "stdio" is known in this database (BELLOWS_DEPLOYMENT, BELLOWS_ENVIRONMENT). There are: studio, studio/production.',
  )
  expect(await database.db.collection('deployments').countDocuments()).toBe(2)
}, 60_000)

test('without a database it says which setting is missing', async () => {
  const { exitCode, stderr } = await bellows(['pause'], { MONGODB_URL: '' })
  expect(exitCode).toBe(1)
  expect(stderr).toContain('MONGODB_URL')
  expect(stderr).not.toContain('R2_')
})
