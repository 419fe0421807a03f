/** Offers and attempts, as the timeline and reports name them. */
import type { Offer } from '../../cloud/machines.ts'
import type { Attempt } from '../../trainings/runs.ts'
import type { Job } from '../job.ts'

/** A job that waits only shows it to who looks now: most of its orders come to nothing. One that is had is told (provision.ts). */
export async function announce(job: Job, attempt: Attempt, isHad = false): Promise<void> {
  const { number, offer, deadline } = attempt
  const message = `attempt ${number}: ${describe(offer)}`
  const data = { number, offer, deadline }
  if (job.run.waiting && !isHad) job.show('attempt', message, data)
  else await job.tell('attempt', message, data)
}

export function describe({ type, zone, market, gpu, usdPerHour }: Offer): string {
  return `${type} (${gpu}) in ${zone}, ${market}, ${dollars(usdPerHour)}/h`
}

export function dollars(usd: number): string {
  return `$${usd.toFixed(2)}`
}
