/** Amounts as whole millionths of a USD, which add up exactly, and the periods that they count in. */

export type Amount = { readonly day: string; readonly micros: number }

export type Sums = { readonly day: number; readonly month: number }

/** UTC: `2026-11` and `05`. */
export function monthAndDay(at: Date): { readonly month: string; readonly day: string } {
  const text = at.toISOString()
  return { month: text.slice(0, 7), day: text.slice(8, 10) }
}

export function toMicros(usd: number): number {
  if (Number.isFinite(usd) && usd >= 0) return Math.round(usd * 1e6)
  throw new Error(`an amount of USD is a number from 0, not ${usd}`)
}

export function sumUp(amounts: readonly Amount[], day: string): Sums {
  const sum = (of: readonly Amount[]) => of.reduce((total, { micros }) => total + micros, 0)
  return { day: sum(amounts.filter((amount) => amount.day === day)), month: sum(amounts) }
}

export function inUsd({ day, month }: Sums): { readonly dayUsd: number; readonly monthUsd: number } {
  return { dayUsd: day / 1e6, monthUsd: month / 1e6 }
}

/** Which budget is too small for this additional amount, the day's first; undefined if both suffice. */
export function shortPeriod(
  spent: Sums,
  limits: { readonly dayUsd: number; readonly monthUsd: number },
  usd: number,
): { readonly period: 'day' | 'month'; readonly leftUsd: number } | undefined {
  const left = { day: toMicros(limits.dayUsd) - spent.day, month: toMicros(limits.monthUsd) - spent.month }
  const period = (['day', 'month'] as const).find((each) => toMicros(usd) > left[each])
  return period && { period, leftUsd: Math.max(0, left[period] / 1e6) }
}
