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

export type Spending = { readonly dayUsd: number; readonly monthUsd: number }

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
  /** Reserved and spent so far in the day and the month of `at`. */
  spending(at: Date): Promise<Spending>
}
