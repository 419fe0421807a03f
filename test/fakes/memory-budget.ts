/** The machines' budget without a database, for runs of the workflow with simulated parts. */
import type { Budget } from '../../src/ledger/budget.ts'
import { type Amount, inUsd, monthAndDay, shortPeriod, sumUp, toMicros } from '../../src/ledger/months.ts'

type Entry = Amount & { readonly month: string; readonly settled: boolean }

export function memoryBudget(): Budget {
  const entries = new Map<string, Entry>()

  function sums(at: Date, which: (entry: Entry) => boolean = () => true) {
    const { month, day } = monthAndDay(at)
    return sumUp(
      [...entries.values()].filter((entry) => entry.month === month && which(entry)),
      day,
    )
  }

  return {
    async reserve({ key, usd }, limits, at) {
      if (entries.has(key)) return { granted: true }
      const short = shortPeriod(sums(at), limits, usd)
      if (short) return { granted: false, ...short }
      entries.set(key, { ...monthAndDay(at), micros: toMicros(usd), settled: false })
      return { granted: true }
    },
    async settle(key, usd) {
      const entry = entries.get(key) ?? { ...monthAndDay(new Date()), micros: 0, settled: true }
      const micros = entry.settled ? entry.micros : toMicros(usd)
      entries.set(key, { ...entry, micros, settled: true })
      return micros / 1e6
    },
    async spending(at) {
      return {
        spent: inUsd(sums(at, ({ settled }) => settled)),
        reserved: inUsd(sums(at, ({ settled }) => !settled)),
      }
    },
  }
}
