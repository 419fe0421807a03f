/** `trainingRuns` without a database, for runs of the workflow with simulated parts; same rules. */
import { type Attempt, type Lease, LeaseLost, phases, type Run, type Runs } from './runs.ts'

type Held = { run: Run; token: number; owner: string | undefined; expiresAt: number }

export type MemoryRuns = Runs & {
  /** A live lease holds it. */
  isHeld(trainingId: string): boolean
  isUnfinished(trainingId: string): boolean
}

export function memoryRuns(now: () => Date = () => new Date()): MemoryRuns {
  const all = new Map<string, Held>()

  function heldBy({ trainingId, owner, token }: Lease): Held {
    const held = all.get(trainingId)
    if (!held || held.owner !== owner || held.token !== token) {
      throw new LeaseLost({ trainingId, owner, token })
    }
    return held
  }

  function isHeld(trainingId: string): boolean {
    const held = all.get(trainingId)
    return held?.owner !== undefined && held.expiresAt > now().getTime()
  }

  /** Copies going in and out: nobody may change a run by changing what he was given. */
  function put(held: Held, run: Run): Run {
    held.run = structuredClone(run)
    return structuredClone(run)
  }

  const runs = () => [...all.values()].map(({ run }) => structuredClone(run))

  return {
    isHeld,
    isUnfinished: (trainingId) => all.has(trainingId) && all.get(trainingId)?.run.endedAt === undefined,
    async acquire(trainingId, owner, ttlMs) {
      if (isHeld(trainingId)) return undefined
      const held = all.get(trainingId) ?? { run: freshRun(trainingId, now()), token: 0, owner, expiresAt: 0 }
      const token = held.token + 1
      Object.assign(held, { owner, token, expiresAt: now().getTime() + ttlMs })
      all.set(trainingId, held)
      return { lease: { trainingId, owner, token }, run: structuredClone(held.run) }
    },
    async renew(lease, ttlMs) {
      heldBy(lease).expiresAt = now().getTime() + ttlMs
    },
    async release(lease) {
      const held = all.get(lease.trainingId)
      if (held?.owner === lease.owner && held.token === lease.token) held.owner = undefined
    },
    async read(trainingId) {
      return structuredClone(all.get(trainingId)?.run)
    },
    now: async () => now(),
    async change(lease, { phase, outcome, event, ...fields }) {
      const held = heldBy(lease)
      const { run } = held
      const further = phase !== undefined && phases.indexOf(phase) > phases.indexOf(run.phase)
      const firstOutcome = run.outcome ?? outcome
      return put(held, {
        ...run,
        ...defined(fields),
        ...(firstOutcome && { outcome: firstOutcome }),
        ...(event && { lastEvent: { ...event, number: (run.lastEvent?.number ?? 0) + 1, at: now() } }),
        ...(further && { phase }),
        ...(phase && { phaseTimes: { [phase]: now(), ...run.phaseTimes } }),
      })
    },
    async addAttempt(lease, attempt) {
      const held = heldBy(lease)
      const known = held.run.attempts.some(({ number }) => number === attempt.number)
      return put(held, known ? held.run : { ...held.run, attempts: [...held.run.attempts, attempt] })
    },
    async changeAttempt(lease, number, change) {
      const held = heldBy(lease)
      if (!held.run.attempts.some((attempt) => attempt.number === number)) {
        throw new Error(`training ${lease.trainingId} has no attempt ${number}`)
      }
      const attempts = held.run.attempts.map((attempt) =>
        attempt.number === number ? ({ ...attempt, ...defined(change) } as Attempt) : attempt,
      )
      return put(held, { ...held.run, attempts })
    },
    async unfinished(limit) {
      const left = runs().filter(({ id, endedAt }) => endedAt === undefined && !isHeld(id))
      return left
        .sort(oldestFirst)
        .slice(0, limit)
        .map(({ id }) => id)
    },
    async withMachines() {
      return runs().filter(({ attempts }) => attempts.some(({ tornDownAt }) => tornDownAt === undefined))
    },
    async trainedInOneGo(family, gpu, limit) {
      const found = runs().filter(
        ({ outcome, plan, attempts }) =>
          outcome?.ending === 'trained' &&
          plan?.family === family &&
          attempts.length === 1 &&
          attempts[0]?.offer.gpu === gpu,
      )
      return found.sort(oldestFirst).reverse().slice(0, limit)
    },
    async recent(limit) {
      return runs().sort(oldestFirst).reverse().slice(0, limit)
    },
  }
}

function freshRun(id: string, startedAt: Date): Run {
  return { id, phase: 'claimed', attempts: [], startedAt, phaseTimes: { claimed: startedAt } }
}

function oldestFirst(a: Run, b: Run): number {
  return a.startedAt.getTime() - b.startedAt.getTime() || (a.id < b.id ? -1 : 1)
}

function defined<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T
}
