/**
 * What machines may cost, over all jobs and workers: a day's and a month's budget in USD (UTC).
 * A reservation is one atomic write, made before a machine is ordered; settling replaces it by the cost.
 */
export type Reservation = {
  /** The attempt's name. */
  readonly key: string
  /** The most that the attempt can cost. */
  readonly usd: number
}

export type BudgetLimits = { readonly dayUsd: number; readonly monthUsd: number }

export type PeriodSums = { readonly dayUsd: number; readonly monthUsd: number }

export type Spending = {
  /** The cost of terminated machines. */
  readonly spent: PeriodSums
  /** The most that machines which may still exist can cost. */
  readonly reserved: PeriodSums
}

export interface Budget {
  /** Reserves, or says which budget is short and how much of it is left. A replay changes nothing. */
  reserve(
    reservation: Reservation,
    limits: BudgetLimits,
    at: Date,
  ): Promise<
    | { readonly granted: true }
    | { readonly granted: false; readonly period: 'day' | 'month'; readonly leftUsd: number }
  >
  /**
   * Replaces the reservation by the real cost. Returns the effective cost: once settled, it stays, and a
   * replay with another amount changes nothing. 0 if nothing was reserved, as nothing is ordered then.
   */
  settle(key: string, usd: number): Promise<number>
  /** In the day and the month of `at`. Both count against the limits. */
  spending(at: Date): Promise<Spending>
}

/** Spent and reserved, in USD: no longer available. */
export function spokenFor({ spent, reserved }: Spending): PeriodSums {
  return { dayUsd: spent.dayUsd + reserved.dayUsd, monthUsd: spent.monthUsd + reserved.monthUsd }
}
