/**
 * Who may work on what, worked out apart from the code under test from the calls that workers make: a token that does not
 * grow, a write that was taken from a worker that another has replaced, and a worker that goes on with a machine long after
 * it was replaced are broken promises.
 */
import { parseMachineName } from '../../src/cloud/machine-name.ts'
import type { Lease } from '../../src/trainings/runs.ts'

export type LeaseMonitor = {
  acquired(lease: Lease, at: number): void
  /** A write under that lease was accepted. */
  wrote(lease: Lease): void
  /** The worker asked something of a machine; `awakeSince`: when it last woke from a pause. */
  touched(worker: string, machine: string, at: number, awakeSince: number): void
  readonly broken: readonly string[]
}

/** A replaced worker that is awake has so long to notice it, in milliseconds: a few heartbeats. */
const noticeMs = 20_000

export function leaseMonitor(): LeaseMonitor {
  const holders = new Map<string, { readonly lease: Lease; readonly since: number }>()
  const broken: string[] = []

  return {
    broken,
    acquired(lease, since) {
      const before = holders.get(lease.trainingId)?.lease
      if (before && lease.token <= before.token)
        broken.push(`${lease.trainingId}: the token ${lease.token} came after ${before.token}`)
      holders.set(lease.trainingId, { lease, since })
    },
    wrote({ trainingId, owner, token }) {
      const holder = holders.get(trainingId)?.lease
      if (holder && (holder.owner !== owner || holder.token !== token))
        broken.push(
          `${trainingId}: a write of ${owner} (token ${token}) was taken, and ${holder.owner} held it`,
        )
    },
    touched(worker, machine, at, awakeSince) {
      const holder = holders.get(parseMachineName(machine)?.trainingId ?? '')
      if (!holder || holder.lease.owner === worker) return
      if (at - Math.max(holder.since, awakeSince) > noticeMs)
        broken.push(`${machine}: ${worker} goes on with it, and ${holder.lease.owner} holds it`)
    },
  }
}
