import { Failure } from '../failure.ts'

export function whole(points: number): number {
  if (Number.isSafeInteger(points) && points >= 0) return points
  throw new Error(`points are whole numbers from 0, not ${points}`)
}

export function cannotPay(balance: number, points: number): Failure {
  return new Failure('cannot-pay', `it costs ${points} points, and the balance is ${balance}`)
}
