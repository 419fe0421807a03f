/**
 * Points. Every movement carries an idempotency key (`charge:<job>`, `refund:<job>`, `credit:<job>:<role>`); a replay
 * changes nothing and returns the movement that was made first. A training that is run again is charged and refunded
 * under keys of that run: `charge:<job>:2`, `refund:<job>:2`. It makes at most one model, so credits need no number.
 */
export type Role = 'trainer' | 'dataset-creator'

export type Movement = {
  readonly key: string
  readonly trainingId: string
  readonly accountId: string
  /** Positive: credited to the account. A charge is negative. */
  readonly points: number
  readonly at: Date
}

/** One run of a training, which is charged once: the first is number 1. */
export type Charged = { readonly trainingId: string; readonly run: number }

export interface Ledger {
  balance(accountId: string): Promise<number>
  /** Throws Failure('cannot-pay') if the balance doesn't cover it; nothing is moved then. */
  charge(what: Charged, accountId: string, points: number): Promise<Movement>
  /**
   * Gives back to the account that was charged, never more than what was charged; 0 points: no movement. Where nothing
   * was charged it closes the charge: one that is still on its way then moves nothing.
   */
  refund(what: Charged, points: number): Promise<Movement | undefined>
  credit(trainingId: string, role: Role, accountId: string, points: number): Promise<Movement>
  movements(trainingId: string): Promise<readonly Movement[]>
}

export function chargeKey({ trainingId, run }: Charged): string {
  return `charge:${trainingId}${ofRun(run)}`
}

export function refundKey({ trainingId, run }: Charged): string {
  return `refund:${trainingId}${ofRun(run)}`
}

function ofRun(run: number): string {
  return run === 1 ? '' : `:${run}`
}
