/** Offers and attempts, as the timeline and reports name them. */
import type { Offer } from '../../cloud/machines.ts'
import type { Attempt } from '../../trainings/runs.ts'
import type { Telling } from '../events.ts'

export function ordered({ number, offer, deadline }: Attempt): Telling {
  return ['attempt', `attempt ${number}: ${describe(offer)}`, { number, offer, deadline }]
}

/** After the proof: `costUsd` is what the books were closed with. */
export function gone(number: number, costUsd: number): Telling {
  return ['attempt', `attempt ${number}: the machine is gone`, { number, costUsd }]
}

export function describe({ type, zone, market, gpu, usdPerHour }: Offer): string {
  return `${type} (${gpu}) in ${zone}, ${market}, ${dollars(usdPerHour)}/h`
}

export function dollars(usd: number): string {
  return `$${usd.toFixed(2)}`
}
