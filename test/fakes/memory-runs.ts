/** `trainingRuns` without a database, for runs of the workflow with simulated parts; same rules. */
import { type Attempt, type Lease, LeaseLost, phases, type Run, type Runs } from '../../src/trainings/runs.ts'
import type { NewTimelineEvent } from '../../src/trainings/timeline.ts'

type Held = { run: Run; token: number; owner: string | undefined; expiresAt: number }

export type MemoryRuns = Runs & {
  /** A live lease holds it. */
  isHeld(trainingId: string): boolean
  isUnfinished(trainingId: string): boolean
  /** The same database, as another deployment's workers see it. */
  as(deployment: string): MemoryRuns
}

export function memoryRuns(now: () => Date = () => new Date(), deployment = 'bellows-test'): MemoryRuns {
  return runsIn(new Map(), now, deployment)
}

function runsIn(all: Map<string, Held>, now: () => Date, deployment: string): MemoryRuns {
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

  function lastEvent(run: Run, event: NewTimelineEvent | undefined): Pick<Run, 'lastEvent'> {
    return event ? { lastEvent: { ...event, number: (run.lastEvent?.number ?? 0) + 1, at: now() } } : {}
  }

  function withHolder({ run, owner }: Held): Run {
    return { ...structuredClone(run), ...(owner !== undefined && isHeld(run.id) && { heldBy: owner }) }
  }

  /** Copies going in and out: a caller can't change a run by changing its copy. */
  function put(held: Held, run: Run): Run {
    held.run = structuredClone(run)
    return structuredClone(run)
  }

  /** Oldest first. Not copied: the caller does that. */
  function those(wanted: (run: Run) => boolean): Run[] {
    const found = [...all.values()].flatMap(({ run }) =>
      run.deployment === deployment && wanted(run) ? [run] : [],
    )
    return found.sort(oldestFirst)
  }

  const isLeft = ({ endedAt, id }: Run) => endedAt === undefined && !isHeld(id)

  return {
    isHeld,
    isUnfinished: (trainingId) => all.has(trainingId) && all.get(trainingId)?.run.endedAt === undefined,
    as: (other) => runsIn(all, now, other),
    async acquire(trainingId, owner, ttlMs) {
      if (isHeld(trainingId)) return undefined
      const fresh = { run: freshRun(trainingId, now(), deployment), token: 0, owner: undefined, expiresAt: 0 }
      const held: Held = all.get(trainingId) ?? fresh
      if (held.run.deployment !== deployment) return undefined
      held.run = { ...held.run, crashes: (held.run.crashes ?? 0) + (held.owner === undefined ? 0 : 1) }
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
      const held = all.get(trainingId)
      return held && withHolder(held)
    },
    now: async () => now(),
    async change(lease, { phase, outcome, event, hold, lastStep, ...fields }) {
      const held = heldBy(lease)
      const { run } = held
      const further = phase !== undefined && phases.indexOf(phase) > phases.indexOf(run.phase)
      const onward = lastStep !== undefined && lastStep > (run.lastStep ?? 0)
      const firstOutcome = run.outcome ?? outcome
      const before = { ...run }
      if (hold === null) delete (before as { hold?: unknown }).hold
      if (further || onward) {
        delete (before as { heldSince?: unknown }).heldSince
        delete (before as { waiting?: unknown }).waiting
      }
      return put(held, {
        ...before,
        ...((further || onward) && { faults: {}, crashes: 0 }),
        ...defined(fields),
        ...(hold && { hold }),
        ...(lastStep !== undefined && { lastStep: Math.max(lastStep, run.lastStep ?? 0) }),
        ...(firstOutcome && { outcome: firstOutcome }),
        ...lastEvent(run, event),
        ...(further && { phase }),
        ...(phase && { phaseTimes: { [phase]: now(), ...run.phaseTimes } }),
      })
    },
    async restart(lease) {
      const held = heldBy(lease)
      const { run } = held
      if (!run.endedAt) return structuredClone(run)
      const { number, startedAt, endedAt, phase, outcome, chargedPoints } = run
      const ended = { number, startedAt, endedAt, phase, outcome, chargedPoints }
      return put(held, {
        ...freshRun(run.id, now(), deployment),
        number: number + 1,
        earlier: [...(run.earlier ?? []), defined(ended)],
        earlierAttempts: [...run.earlierAttempts, ...run.attempts],
        ...(run.lastEvent && { lastEvent: run.lastEvent }),
        ...(run.forgottenUpTo !== undefined && { forgottenUpTo: run.forgottenUpTo }),
        crashes: 0,
      } as Run)
    },
    async addAttempt(lease, attempt, event) {
      const held = heldBy(lease)
      const { run } = held
      if (run.attempts.some(({ number }) => number === attempt.number)) return structuredClone(run)
      return put(held, { ...run, attempts: [...run.attempts, attempt], ...lastEvent(run, event) })
    },
    async changeAttempt(lease, number, change, event) {
      const held = heldBy(lease)
      const { attempts, earlierAttempts } = held.run
      if (![...attempts, ...earlierAttempts].some((attempt) => attempt.number === number)) {
        throw new Error(`training ${lease.trainingId} has no attempt ${number}`)
      }
      const changed = (attempt: Attempt) =>
        attempt.number === number ? ({ ...attempt, ...defined(change) } as Attempt) : attempt
      return put(held, {
        ...held.run,
        attempts: attempts.map(changed),
        earlierAttempts: earlierAttempts.map(changed),
        ...lastEvent(held.run, event),
      })
    },
    async forgetAttempts(lease, numbers) {
      const held = heldBy(lease)
      const { attempts, forgottenUpTo = 0 } = held.run
      const gone = attempts.filter(({ number, tornDownAt }) => tornDownAt && numbers.includes(number))
      if (gone.length === 0) return structuredClone(held.run)
      return put(held, {
        ...held.run,
        attempts: attempts.filter((attempt) => !gone.includes(attempt)),
        forgottenUpTo: Math.max(forgottenUpTo, ...gone.map(({ number }) => number)),
      })
    },
    async unfinished(limit) {
      const left = those((run) => isLeft(run) && !run.hold)
      return left.slice(0, limit).map(({ id }) => id)
    },
    async held() {
      const waiting = those(({ endedAt }) => !endedAt)
      return waiting.flatMap(({ id, hold }) => (hold ? { ...structuredClone(hold), id } : []))
    },
    async endedOf(accountId, since, limit) {
      const found = those(
        ({ terms, endedAt }) =>
          terms?.ownerAccountId === accountId && endedAt !== undefined && endedAt >= since,
      )
      const latest = found.sort((a, b) => Number(b.endedAt) - Number(a.endedAt)).slice(0, limit)
      return structuredClone(latest)
    },
    async withMachines() {
      const found = those(({ attempts, earlierAttempts }) =>
        [...attempts, ...earlierAttempts].some(({ tornDownAt }) => tornDownAt === undefined),
      )
      return structuredClone(found)
    },
    async completedOnFirstAttempt(family, gpu, limit) {
      const found = those(
        ({ outcome, plan, attempts }) =>
          outcome?.ending === 'trained' &&
          plan?.family === family &&
          attempts.length === 1 &&
          attempts[0]?.offer.gpu === gpu,
      )
      return structuredClone(found.reverse().slice(0, limit))
    },
    async recent(limit) {
      const newest = those(() => true)
        .reverse()
        .slice(0, limit)
      return newest.flatMap(({ id }) => {
        const held = all.get(id)
        return held ? [withHolder(held)] : []
      })
    },
  }
}

function freshRun(id: string, startedAt: Date, deployment: string): Run {
  return {
    id,
    number: 1,
    deployment,
    phase: 'claimed',
    attempts: [],
    earlierAttempts: [],
    startedAt,
    phaseTimes: { claimed: startedAt },
  }
}

function oldestFirst(a: Run, b: Run): number {
  return a.startedAt.getTime() - b.startedAt.getTime() || (a.id < b.id ? -1 : 1)
}

function defined<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T
}
