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
  /** The cost of machines that are gone. */
  readonly spent: PeriodSums
  /** The most that those which may be there can cost. */
  readonly reserved: PeriodSums
}

export interface Budget {
  /** Reserves, or says which budget is short and what is left of it. A replay changes nothing. */
  reserve(
    reservation: Reservation,
    limits: BudgetLimits,
    at: Date,
  ): Promise<
    | { readonly granted: true }
    | { readonly granted: false; readonly period: 'day' | 'month'; readonly leftUsd: number }
  >
  /**
   * Puts the real cost in the reservation's place. Returns the cost that counts: once settled, it stays, and a
   * replay with another one changes nothing. 0 for what was never reserved, as nothing is ordered then.
   */
  settle(key: string, usd: number): Promise<number>
  /** In the day and the month of `at`. Both together count against the limits. */
  spending(at: Date): Promise<Spending>
}

/** What a budget has no room for any more, in USD. */
export function spokenFor({ spent, reserved }: Spending): PeriodSums {
  return { dayUsd: spent.dayUsd + reserved.dayUsd, monthUsd: spent.monthUsd + reserved.monthUsd }
}
