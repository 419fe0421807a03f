/**
 * Points in MongoDB, each movement exactly once, without transactions.
 *
 * `pointsLedger`: one row a movement, `_id` = its key. `begun` fixes account and points for ever, so that
 * every replay means the same movement; then `settled`, or `void` if it can never happen any more.
 * `pointsAccounts`: `{_id, balance, version, applied}`; `applied` holds the keys that are in the balance
 * while their rows are not settled yet. A movement is four writes, and its maker may die after each:
 *
 *     1. row begun          2. account: balance moved, key into `applied`, version + 1, if the version
 *     3. row settled           is still the one that was read
 *     4. key out of `applied`
 *
 * Invariant: a key is in the balance if and only if its row is settled or its key is in `applied`. Two
 * replays can't both do 2: the second has read the account at version v without the key, *then* the row,
 * not settled. Had another applied the key before v, it would be in `applied`, or have left it (4) only
 * after its row was settled (3), which the later read of the row would have shown. After v, the version
 * differs and the write doesn't match. A replay finishes what was begun.
 *
 * A charge that the balance doesn't cover stays `begun`: no movement. The same job's charge, asked for
 * again, is refused again, or succeeds if points have come in since. A refund first closes a charge that
 * was not applied (row `void`, then a new version of the account), so that a worker that was asleep in
 * the middle of charging can't charge for a job that has ended. If its write came between the two, the
 * charge has happened: the row becomes settled all the same, and is refunded.
 */
import type { Db } from 'mongodb'
import { durable, isDuplicateKey } from '../mongo.ts'
import { type Charged, chargeKey, type Ledger, type Movement, refundKey } from './ledger.ts'
import { cannotPay, whole } from './points.ts'

type Row = Omit<Movement, 'key' | 'trainingId'> & {
  readonly _id: string
  /** Absent: purchased points. */
  readonly trainingId?: string
  readonly state: 'begun' | 'settled' | 'void'
}

type Account = {
  readonly _id: string
  readonly balance: number
  readonly version: number
  readonly applied: readonly string[]
}

export type MongoLedger = Ledger & {
  /** Adds points to an account, once for each `key`; how the users' own service sells points. */
  topUp(accountId: string, points: number, key: string): Promise<void>
}

export function mongoLedger(db: Db): MongoLedger {
  const rows = durable<Row>(db, 'pointsLedger')
  const accounts = durable<Account>(db, 'pointsAccounts')

  /** False if there is a row of that key already. */
  async function begin(row: Row): Promise<boolean> {
    try {
      await rows.insertOne(row)
      return true
    } catch (error) {
      if (isDuplicateKey(error)) return false
      throw error
    }
  }

  async function account(id: string): Promise<Account> {
    for (;;) {
      const found = await accounts.findOne({ _id: id })
      if (found) return found
      try {
        await accounts.insertOne({ _id: id, balance: 0, version: 0, applied: [] })
      } catch (error) {
        if (!isDuplicateKey(error)) throw error
      }
    }
  }

  /** Applied, or applied before: the row becomes settled, then the key leaves the account. */
  async function settle(key: string, accountId: string): Promise<void> {
    await rows.updateOne({ _id: key, state: { $ne: 'settled' } }, [
      { $set: { state: 'settled', at: '$$NOW' } },
    ])
    await accounts.updateOne({ _id: accountId }, { $pull: { applied: key } })
  }

  async function move(row: Row): Promise<Movement> {
    await begin(row)
    const begun = await existing(row._id)
    if (isEmpty(begun)) throw closed(row._id)
    const { accountId, points } = begun
    for (;;) {
      const { balance, version, applied } = await account(accountId)
      const { state } = await existing(row._id) // after the account: the invariant rests on this order
      if (applied.includes(row._id)) await settle(row._id, accountId)
      if (state === 'settled' || applied.includes(row._id)) return movement(await existing(row._id))
      if (state === 'void') throw closed(row._id)
      if (points < 0 && balance + points < 0) throw cannotPay(balance, -points)
      const { modifiedCount } = await accounts.updateOne(
        { _id: accountId, version },
        { $inc: { balance: points, version: 1 }, $push: { applied: row._id } },
      )
      if (modifiedCount === 0) continue
      await settle(row._id, accountId)
      return movement(await existing(row._id))
    }
  }

  async function existing(key: string): Promise<Row> {
    const row = await rows.findOne({ _id: key })
    if (!row) throw new Error(`the ledger's row ${key} has disappeared`)
    return row
  }

  /** The row as it stands, settled first if it is in the balance already. */
  async function finish(row: Row): Promise<Row> {
    if (row.state === 'settled' || isEmpty(row)) return row
    const { applied } = await account(row.accountId)
    if (applied.includes(row._id)) await settle(row._id, row.accountId)
    return existing(row._id)
  }

  /** The charge, if there is one; one that is not in the balance by now never will be. */
  async function closeCharge(what: Charged): Promise<Row | undefined> {
    const key = chargeKey(what)
    const { trainingId } = what
    if (await begin({ _id: key, trainingId, accountId: '', points: 0, at: new Date(), state: 'void' }))
      return undefined
    await rows.updateOne({ _id: key, state: 'begun' }, { $set: { state: 'void' } })
    for (;;) {
      const charge = await existing(key)
      if (isEmpty(charge)) return undefined
      const { version } = await account(charge.accountId)
      const { state } = await finish(charge)
      if (state === 'settled') return charge
      // a worker that read the row before it was void has read an older version, and can no longer write
      const next = { $inc: { version: 1 } }
      const { modifiedCount } = await accounts.updateOne({ _id: charge.accountId, version }, next)
      if (modifiedCount === 1) return undefined
    }
  }

  return {
    async balance(accountId) {
      return (await accounts.findOne({ _id: accountId }))?.balance ?? 0
    },
    charge(what, accountId, points) {
      return move(begunRow(chargeKey(what), accountId, 0 - whole(points), what.trainingId))
    },
    async refund(what, points) {
      if (whole(points) === 0) return undefined
      const charge = await closeCharge(what)
      if (!charge || charge.points === 0) return undefined
      const back = Math.min(points, -charge.points)
      return move(begunRow(refundKey(what), charge.accountId, back, what.trainingId))
    },
    credit(trainingId, role, accountId, points) {
      return move(begunRow(`credit:${trainingId}:${role}`, accountId, whole(points), trainingId))
    },
    async movements(trainingId) {
      const found = await rows.find({ trainingId }).toArray()
      const finished = await Promise.all(found.map(finish))
      const settled = finished.filter(({ state }) => state === 'settled')
      return settled.sort((a, b) => a.at.getTime() - b.at.getTime()).map(movement)
    },
    async topUp(accountId, points, key) {
      await move(begunRow(`topup:${key}`, accountId, whole(points)))
    },
  }
}

/** Closed before it was begun: it names no account, and none has it. */
function isEmpty({ accountId }: Row): boolean {
  return accountId === ''
}

function closed(key: string): Error {
  return new Error(`${key} is closed: its training has ended`)
}

function begunRow(_id: string, accountId: string, points: number, trainingId?: string): Row {
  return { _id, accountId, points, at: new Date(), state: 'begun', ...(trainingId && { trainingId }) }
}

function movement({ _id, trainingId = '', accountId, points, at }: Row): Movement {
  return { key: _id, trainingId, accountId, points, at }
}
