/**
 * The machines' budget in MongoDB. `trainingBudgets` has one document a month, which stays small:
 * `open` are the reservations of attempts that still run, `settled` the sums of the others by day, and
 * `version` counts the changes. `trainingCosts` has one row for each settled attempt.
 *
 *     reserve: read the month, then the attempt's row; both sums checked; written if `version` is the same
 *     settle:  1. row with the cost   2. one update: out of `open`, into the day's sum
 *
 * Invariant: a reservation counts from the moment when `reserve` answers until its cost counts in its place,
 * and no two reservations are granted on the same remainder, as each needs the version that it computed
 * with. A replay finds its key in `open`, or the row (read after the month: see mongo-ledger.ts for why
 * that order suffices). A worker that dies between 1 and 2 leaves it in `open`; settling again finishes it
 * with the row's cost. Amounts are kept in millionths of a USD: whole numbers add up exactly.
 */
import type { Db, Document } from 'mongodb'
import { durable, ignoringDuplicates } from '../mongo.ts'
import type { Budget } from './budget.ts'
import { type Amount, inUsd, monthAndDay, shortPeriod, sumUp, toMicros } from './months.ts'

type Month = {
  /** `2026-11`, UTC. */
  readonly _id: string
  readonly version: number
  readonly open: readonly { readonly key: string; readonly day: string; readonly micros: number }[]
  /** By day of the month, `01`–`31`. */
  readonly settled: Readonly<Record<string, number>>
}

type Cost = {
  readonly _id: string
  readonly month: string
  readonly day: string
  readonly micros: number
  readonly settledAt: Date
}

export function mongoBudget(db: Db): Budget {
  const months = durable<Month>(db, 'trainingBudgets')
  const costs = durable<Cost>(db, 'trainingCosts')

  async function readMonth(_id: string): Promise<Month> {
    for (;;) {
      const found = await months.findOne({ _id })
      if (found) return found
      await ignoringDuplicates(months.insertOne({ _id, version: 0, open: [], settled: {} }))
    }
  }

  async function known(key: string): Promise<boolean> {
    const [open, settled] = await Promise.all([
      months.findOne({ 'open.key': key }),
      costs.findOne({ _id: key }),
    ])
    return open !== null || settled !== null
  }

  /** What is settled without a reservation cost nothing; a reservation that comes too late finds that noted. */
  async function settled(key: string): Promise<number> {
    const at = new Date()
    const { month, day } = monthAndDay(at)
    await ignoringDuplicates(costs.insertOne({ _id: key, month, day, micros: 0, settledAt: at }))
    await months.updateOne({ _id: month }, { $inc: { version: 1 } }) // a concurrent reservation reads again
    return usdOf(await costs.findOne({ _id: key }))
  }

  return {
    async reserve({ key, usd }, limits, at) {
      const { month: name, day } = monthAndDay(at)
      for (;;) {
        const month = await readMonth(name)
        if (await known(key)) return { granted: true }
        const short = shortPeriod(sumUp(amounts(month), day), limits, usd)
        if (short) return { granted: false, ...short }
        const { modifiedCount } = await months.updateOne(
          { _id: name, version: month.version },
          { $push: { open: { key, day, micros: toMicros(usd) } }, $inc: { version: 1 } },
        )
        if (modifiedCount === 1) return { granted: true }
      }
    },
    async settle(key, usd) {
      const month = await months.findOne({ 'open.key': key })
      const reservation = month?.open.find((each) => each.key === key)
      if (!month || !reservation) return settled(key)
      const { day } = reservation
      const cost = { _id: key, month: month._id, day, micros: toMicros(usd), settledAt: new Date() }
      await ignoringDuplicates(costs.insertOne(cost))
      const micros = (await costs.findOne({ _id: key }))?.micros ?? cost.micros
      await months.updateOne({ _id: month._id, 'open.key': key }, {
        $pull: { open: { key } },
        $inc: { [`settled.${day}`]: micros, version: 1 },
      } as Document)
      return micros / 1e6
    },
    async spending(at) {
      const { month: name, day } = monthAndDay(at)
      const month = await readMonth(name)
      return { spent: inUsd(sumUp(settledAmounts(month), day)), reserved: inUsd(sumUp(month.open, day)) }
    },
  }
}

function usdOf(cost: Cost | null): number {
  return (cost?.micros ?? 0) / 1e6
}

function amounts(month: Month): readonly Amount[] {
  return [...month.open, ...settledAmounts(month)]
}

function settledAmounts({ settled }: Month): readonly Amount[] {
  return Object.entries(settled).map(([day, micros]) => ({ day, micros }))
}
