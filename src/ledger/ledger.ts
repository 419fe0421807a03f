/**
 * Points. Every movement carries an idempotency key (`charge:<job>`, `refund:<job>`,
 * `credit:<job>:<role>`); a replay changes nothing and returns the movement that was made first.
 */
export type Role = 'trainer' | 'dataset-creator'

export type Movement = {
  readonly key: string
  readonly trainingId: string
  readonly accountId: string
  /** Positive: onto the account. A charge is negative. */
  readonly points: number
  readonly at: Date
}

export interface Ledger {
  balance(accountId: string): Promise<number>
  /** Throws Failure('cannot-pay') if the balance doesn't cover it; nothing is moved then. */
  charge(trainingId: string, accountId: string, points: number): Promise<Movement>
  /** Never more than what was charged; 0 points: no movement. */
  refund(trainingId: string, accountId: string, points: number): Promise<Movement | undefined>
  credit(trainingId: string, role: Role, accountId: string, points: number): Promise<Movement>
  movements(trainingId: string): Promise<readonly Movement[]>
}
