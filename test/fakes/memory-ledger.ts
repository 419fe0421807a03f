/** Points without a database, for runs of the workflow with simulated parts; same rules as MongoDB's. */
import { chargeKey, type Ledger, type Movement, refundKey } from '../../src/ledger/ledger.ts'
import { cannotPay, whole } from '../../src/ledger/points.ts'

export type MemoryLedger = Ledger & {
  topUp(accountId: string, points: number, key: string): Promise<void>
  all(): readonly Movement[]
}

export function memoryLedger(now: () => Date = () => new Date()): MemoryLedger {
  const movements = new Map<string, Movement>()
  const closed = new Set<string>()

  function sum(accountId: string): number {
    const own = [...movements.values()].filter((movement) => movement.accountId === accountId)
    return own.reduce((total, { points }) => total + points, 0)
  }

  function move(key: string, trainingId: string, accountId: string, points: number): Movement {
    const known = movements.get(key)
    if (known) return known
    if (closed.has(key)) throw new Error(`${key} is closed: its training has ended`)
    if (points < 0 && sum(accountId) + points < 0) throw cannotPay(sum(accountId), -points)
    const movement = { key, trainingId, accountId, points, at: now() }
    movements.set(key, movement)
    return movement
  }

  return {
    all: () => [...movements.values()],
    balance: async (accountId) => sum(accountId),
    async charge(what, accountId, points) {
      return move(chargeKey(what), what.trainingId, accountId, 0 - whole(points))
    },
    async refund(what, points) {
      if (whole(points) === 0) return undefined
      const charge = movements.get(chargeKey(what))
      if (!charge) closed.add(chargeKey(what))
      if (!charge || charge.points === 0) return undefined
      return move(refundKey(what), what.trainingId, charge.accountId, Math.min(points, -charge.points))
    },
    async credit(trainingId, role, accountId, points) {
      return move(`credit:${trainingId}:${role}`, trainingId, accountId, whole(points))
    },
    movements: async (trainingId) => [...movements.values()].filter((each) => each.trainingId === trainingId),
    async topUp(accountId, points, key) {
      move(`topup:${key}`, '', accountId, whole(points))
    },
  }
}
