/** Whose runs and machines are whose, in one database: each deployment's identity is made once, at its first start. */
import { beforeEach, describe, expect, test } from 'vitest'
import { deploymentIdentity, knownDeployment } from '../../src/trainings/deployment.ts'
import { testDatabase } from '../support/database.ts'

describe('the identity of a deployment', () => {
  const database = testDatabase()
  beforeEach(async () => void (await database.db.dropDatabase()))

  const insertOldRun = (_id: string) =>
    database.db.collection('trainingRuns').insertOne({ _id, attempts: [{ number: 1, name: 'm' }] } as never)
  const runs = () => database.db.collection('trainingRuns').find().sort({ _id: 1 }).toArray()

  test('is made by the first of all workers that start at once, and stays', async () => {
    const start = () => deploymentIdentity(database.db, 'studio', undefined)
    const all = await Promise.all(Array.from({ length: 20 }, start))
    expect(new Set(all).size).toBe(1)
    expect(all[0]).toMatch(/^studio-[0-9a-f]{8}$/)
    expect(await start()).toBe(all[0])
    expect(await knownDeployment(database.db, 'studio', undefined)).toBe(all[0])
    const [made, ...others] = await database.db.collection('deployments').find().toArray()
    expect(made).toMatchObject({ identity: all[0], madeAt: expect.any(Date) })
    expect(others).toEqual([])
  })

  test('is another one for another name, another environment and another database', async () => {
    const { db } = database
    const elsewhere = db.client?.db(`${db.databaseName}-elsewhere`) ?? db
    const all = await Promise.all([
      deploymentIdentity(db, 'studio', undefined),
      deploymentIdentity(db, 'studio', 'production'),
      deploymentIdentity(db, 'studio', 'development'),
      deploymentIdentity(db, 'atelier', undefined),
      deploymentIdentity(elsewhere, 'studio', undefined),
    ])
    expect(new Set(all).size).toBe(5)
    await elsewhere.dropDatabase()
  })

  test('is the plain name for the first that starts where an earlier release has left runs, and those are its own', async () => {
    await insertOldRun('a')
    await insertOldRun('b')
    expect(await deploymentIdentity(database.db, 'studio', undefined)).toBe('studio')
    expect(await deploymentIdentity(database.db, 'atelier', undefined)).toMatch(/^atelier-[0-9a-f]{8}$/)
    expect(await runs()).toMatchObject(
      ['a', 'b'].map((_id) => ({
        _id,
        deployment: 'studio',
        number: 1,
        attempts: [{ run: 1, number: 1, name: 'm' }],
      })),
    )
    await insertOldRun('c') // of a worker of that release that has not been stopped yet
    expect(await deploymentIdentity(database.db, 'studio', undefined)).toBe('studio')
    expect((await runs()).map(({ deployment }) => deployment)).toEqual(['studio', 'studio', 'studio'])
  })

  test('leaves runs of an earlier release alone where it has one of its own', async () => {
    const identity = await deploymentIdentity(database.db, 'studio', undefined)
    await insertOldRun('a')
    expect(await deploymentIdentity(database.db, 'studio', undefined)).toBe(identity)
    expect((await runs())[0]).not.toHaveProperty('deployment')
  })

  test('is asked for by name: one that there is not is told with those that there are', async () => {
    const ask = () => knownDeployment(database.db, 'studo', 'production')
    await expect(ask()).rejects.toThrow(
      'No deployment "studo/production" is known in this database (BELLOWS_DEPLOYMENT, BELLOWS_ENVIRONMENT). There is none: no worker has started yet.',
    )
    await deploymentIdentity(database.db, 'studio', 'production')
    await deploymentIdentity(database.db, 'atelier', undefined)
    await expect(ask()).rejects.toThrow('There are: atelier, studio/production.')
  })
})
