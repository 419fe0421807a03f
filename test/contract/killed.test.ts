/** Processes that are killed after each of their writes, and several that fight for the same jobs. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { ObjectId } from 'mongodb'
import { beforeEach, describe, expect, test } from 'vitest'
import { mongoBudget } from '../../src/ledger/mongo-budget.ts'
import { mongoLedger } from '../../src/ledger/mongo-ledger.ts'
import { createIndexes } from '../../src/trainings/indexes.ts'
import { mongoTrainings } from '../../src/trainings/mongo-trainings.ts'
import { testDatabase } from '../support/database.ts'

const script = fileURLToPath(new URL('../support/database-child.ts', import.meta.url))
const training = 'a'.repeat(24)
const account = '0'.repeat(24)

describe('a process that is killed', () => {
  const database = testDatabase()

  beforeEach(async () => {
    await database.db.dropDatabase()
    await createIndexes(database.db)
  })

  async function child(task: string, dieAfter = 0): Promise<{ killed: boolean; lines: string[] }> {
    const options = [script, database.url, database.db.databaseName, task, `${dieAfter}`]
    const process_ = spawn(process.execPath, options, { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    process_.stdout.on('data', (chunk) => {
      output += chunk
    })
    const [code, signal] = await once(process_, 'close')
    if (signal === null && code !== 0) throw new Error(`the child ended with ${code}`)
    return { killed: signal === 'SIGKILL', lines: output.split('\n').filter(Boolean) }
  }

  /** Runs the task and kills it after its first write, then after its second …; returns how many there were. */
  async function afterEachWrite(
    task: string,
    check: () => Promise<void>,
    prepare = async () => {},
  ): Promise<number> {
    for (let writes = 1; ; writes++) {
      await database.db.dropDatabase()
      await prepare()
      const { killed } = await child(task, writes)
      await check()
      if (!killed) return writes - 1
    }
  }

  test('after any write of a movement leaves nothing that a replay does not put right', async () => {
    const ledger = mongoLedger(database.db)
    const points = await afterEachWrite('movements', async () => {
      for (let replay = 0; replay < 2; replay++) {
        await ledger.topUp(account, 1000, 'one')
        await ledger.charge({ trainingId: training, run: 1 }, account, 300)
        await ledger.refund({ trainingId: training, run: 1 }, 120)
        await ledger.credit(training, 'trainer', account, 7)
      }
      expect(await ledger.balance(account)).toBe(1000 - 300 + 120 + 7)
      const movements = await ledger.movements(training)
      expect(movements.map((movement) => movement.points).sort()).toEqual([-300, 120, 7])
      const left = await database.db
        .collection<{ _id: string; applied: string[] }>('pointsAccounts')
        .findOne({ _id: account })
      expect(left?.applied).toEqual([])
    })
    expect(points).toBeGreaterThan(12)
  }, 120_000)

  test('while it charges loses no points if the job is refunded and never charged again', async () => {
    const ledger = mongoLedger(database.db)
    await afterEachWrite('movements', async () => {
      await ledger.topUp(account, 1000, 'one')
      await ledger.refund({ trainingId: training, run: 1 }, 300)
      await ledger.charge({ trainingId: training, run: 1 }, account, 300).catch(() => {}) // as a worker that wakes up late
      const sum = (await ledger.movements(training)).reduce((total, { points }) => total + points, 0)
      expect(await ledger.balance(account)).toBe(1000 + sum)
      expect([0, -180 + 7, -180, 7]).toContain(sum)
    })
  }, 120_000)

  test('while it closes a charge leaves it to the next', async () => {
    const ledger = mongoLedger(database.db)
    await afterEachWrite('refundWithoutCharge', async () => {
      await ledger.topUp(account, 1000, 'one')
      await ledger.refund({ trainingId: training, run: 1 }, 300)
      await expect(ledger.charge({ trainingId: training, run: 1 }, account, 300)).rejects.toThrow(
        'its training has ended',
      )
      expect(await ledger.balance(account)).toBe(1000)
    })
  }, 120_000)

  test('after any write of a reservation or a settlement leaves the budget right', async () => {
    const budget = mongoBudget(database.db)
    const day = new Date('2026-11-23')
    const points = await afterEachWrite('budget', async () => {
      await budget.reserve({ key: 'one', usd: 4 }, { dayUsd: 10, monthUsd: 10 }, day)
      await budget.settle('one', 1.5)
      expect(await budget.spending(day)).toEqual({
        spent: { dayUsd: 1.5, monthUsd: 1.5 },
        reserved: { dayUsd: 0, monthUsd: 0 },
      })
    })
    expect(points).toBe(4)
  }, 60_000)

  test('while it claims leaves a job that the next one claims, or an orphan, and no place too many', async () => {
    const trainings = mongoTrainings(database.db, { deployment: 'bellows-test' })
    const one = { running: 1, runningPerOwner: 1 }
    let orphans = 0
    const prepare = () => insertJobs(1)
    const points = await afterEachWrite(
      'claimOne',
      async () => {
        const [orphan] = await trainings.orphans(1)
        const id = orphan ?? (await trainings.claim(one))?.id ?? ''
        if (orphan) orphans++
        await insertJobs(1)
        expect(await trainings.claim(one)).toBeUndefined()
        await trainings.fail(id, 'It has ended.')
        await trainings.releaseSlot(id)
        expect(await trainings.claim(one)).toBeDefined()
      },
      prepare,
    )
    expect([points, orphans]).toEqual([3, 2])
  }, 60_000)

  async function insertJobs(count: number, ownerAccountId = new ObjectId()): Promise<void> {
    const job = { ownerAccountId, datasetId: new ObjectId(), status: 'QUEUED', createdAt: new Date() }
    await database.db.collection('trainingJobs').insertMany(Array.from({ length: count }, () => ({ ...job })))
  }

  test('is not the only one: four processes with five claimers each share the jobs within the limits', async () => {
    await insertJobs(50)
    await insertJobs(50)
    const claimed = (await Promise.all(Array.from({ length: 4 }, () => child('claim')))).flatMap(
      ({ lines }) => lines,
    )
    expect(claimed).toHaveLength(40)
    expect(new Set(claimed).size).toBe(40)
    const owners = await database.db
      .collection('trainingJobs')
      .aggregate([
        { $match: { status: 'RUNNING' } },
        { $group: { _id: '$ownerAccountId', count: { $sum: 1 } } },
      ])
      .toArray()
    expect(owners.map(({ count }) => count).sort()).toEqual([15, 25])
  }, 60_000)
})
