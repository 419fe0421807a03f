/**
 * A worker's database work as a process of its own, which can be killed for real. Arguments: URL, name of
 * the database, task, and after how many acknowledged writes it kills itself (0: never).
 */
import { MongoClient } from 'mongodb'
import { mongoBudget } from '../../src/ledger/mongo-budget.ts'
import { mongoLedger } from '../../src/ledger/mongo-ledger.ts'
import { mongoTrainings } from '../../src/trainings/mongo-trainings.ts'

const [url = '', name = '', task = '', dieAfter = '0'] = process.argv.slice(2)
const writes = new Set(['insert', 'update', 'delete', 'findAndModify'])
const client = new MongoClient(url, { monitorCommands: true })
let left = Number(dieAfter)
client.on('commandSucceeded', ({ commandName }) => {
  if (writes.has(commandName) && --left === 0) process.kill(process.pid, 'SIGKILL')
})
const db = client.db(name)

const training = 'a'.repeat(24)
const account = '0'.repeat(24)

async function claimUntilNothingIsLeft(): Promise<void> {
  const trainings = mongoTrainings(db, { deployment: 'bellows-test' })
  const limits = { running: 40, runningPerOwner: 25 }
  for (let next = await trainings.claim(limits); next; next = await trainings.claim(limits)) {
    process.stdout.write(`${next.id}\n`)
  }
}

const tasks: Readonly<Record<string, () => Promise<unknown>>> = {
  async movements() {
    const ledger = mongoLedger(db)
    await ledger.topUp(account, 1000, 'one')
    await ledger.charge({ trainingId: training, run: 1 }, account, 300)
    await ledger.refund({ trainingId: training, run: 1 }, 120)
    await ledger.credit(training, 'trainer', account, 7)
  },
  async refundWithoutCharge() {
    await mongoLedger(db).refund({ trainingId: training, run: 1 }, 100)
  },
  async budget() {
    const budget = mongoBudget(db)
    await budget.reserve({ key: 'one', usd: 4 }, { dayUsd: 10, monthUsd: 10 }, new Date('2026-11-23'))
    await budget.settle('one', 1.5)
  },
  claim: () => Promise.all(Array.from({ length: 5 }, claimUntilNothingIsLeft)),
  claimOne: () =>
    mongoTrainings(db, { deployment: 'bellows-test' }).claim({ running: 1, runningPerOwner: 1 }),
}

await tasks[task]?.()
await client.close()
