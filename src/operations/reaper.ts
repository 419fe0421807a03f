/**
 * The reaper finds what a job left in the cloud and removes it: a safety net under the workflow's own
 * teardown, for what no worker remembers.
 *
 * Order matters. The cloud is listed *before* the runs are read, and an attempt is written before anything is
 * ordered, so every listed resource belongs to a known run or to none. The age floor is a second
 * guard, against clocks that differ. Only this deployment's resources are listed at all (`existing`).
 *
 * A run's resources are removed only under its lease: what another worker holds is left to that worker, and what was
 * read before the lease was taken is judged again.
 */
import type { CloudResource, Machines, Released } from '../cloud/machines.ts'
import { allAttempts, type Lease, LeaseLost, type Run, type Runs } from '../trainings/runs.ts'
import { type LeaseParts, underLease } from '../trainings/under-lease.ts'

export type LeakReason =
  | 'no run knows it'
  | 'its attempt was never written'
  | 'its attempt is torn down'
  | 'its run has ended'
  | 'its deadline has passed'

export type Leak = { readonly thing: CloudResource; readonly reason: LeakReason }

export type ReapPolicy = {
  /** Younger resources are left alone, in milliseconds. Default 10 minutes. */
  readonly minimumAgeMs?: number
  /** A machine should have switched itself off this long ago, in milliseconds. Default 15 minutes. */
  readonly deadlineGraceMs?: number
}

export type ReapReport = {
  readonly at: Date
  readonly dryRun: boolean
  readonly found: number
  readonly leaks: readonly Leak[]
  /** Names of machines whose resources were all removed. */
  readonly released: readonly string[]
  /** Those that a worker holds, or that were no longer leaks when their run was read again. */
  readonly skipped: readonly string[]
  /** Those that could not be removed; an operator has to act. */
  readonly failed: readonly { readonly name: string; readonly error: unknown }[]
}

export type ReapParts = ReapPolicy &
  LeaseParts & {
    readonly machines: Pick<Machines, 'existing' | 'release'>
    readonly runs: LeaseParts['runs'] & Pick<Runs, 'read'>
    /** Report only. */
    readonly dryRun?: boolean
    readonly onLeak?: (leak: Leak) => void
    /** The machine is proved to be gone. With the lease and the run that it belongs to, if there is one. */
    readonly onReleased?: (name: string, released: Released, known?: Known) => Promise<void>
  }

type Known = { readonly lease: Lease; readonly run: Run }
type Outcome = 'released' | 'skipped' | { readonly error: unknown }

export async function reap(parts: ReapParts): Promise<ReapReport> {
  const { machines, runs, clock, dryRun = false } = parts
  const at = clock.now()
  const found = await machines.existing()
  const known = await runsOf(found, runs)
  const leaks = leaksAmong(found, known, at, parts)
  for (const leak of leaks) parts.onLeak?.(leak)
  const outcomes = new Map<string, Outcome>()
  const owners = new Set(leaks.map(({ thing }) => known.get(thing.trainingId ?? '')))
  if (!dryRun) {
    await Promise.all(
      [...owners].map(async (run) => {
        const own = leaks.filter(({ thing }) => known.get(thing.trainingId ?? '') === run)
        const names = namesOf(own)
        const judged = run ? await reapOf(run, own, parts) : await releaseEach(names, parts)
        for (const name of names) outcomes.set(name, judged.get(name) ?? 'skipped')
      }),
    )
  }
  const withOutcome = (wanted: Outcome) =>
    [...outcomes].flatMap(([name, each]) => (each === wanted ? name : []))
  return {
    at,
    dryRun,
    found: found.length,
    leaks,
    released: withOutcome('released'),
    skipped: withOutcome('skipped'),
    failed: [...outcomes].flatMap(([name, each]) => (typeof each === 'object' ? [{ name, ...each }] : [])),
  }
}

/** The leaks of one run, under its lease. */
async function reapOf(
  { id }: Run,
  leaks: readonly Leak[],
  parts: ReapParts,
): Promise<ReadonlyMap<string, Outcome>> {
  const judged = await underLease(parts, id, (lease, run, isLost) => {
    const things = leaks.map(({ thing }) => thing)
    const still = leaksAmong(things, new Map([[id, run]]), parts.clock.now(), parts)
    return releaseEach(namesOf(still), parts, { lease, run }, isLost)
  }).catch((error) => new Map(namesOf(leaks).map((name) => [name, { error }])))
  return judged ?? new Map()
}

async function releaseEach(
  names: readonly string[],
  { machines, onReleased }: ReapParts,
  known?: Known,
  isLost = () => false,
): Promise<ReadonlyMap<string, Outcome>> {
  const outcomes = names.map(async (name): Promise<[string, Outcome]> => {
    try {
      const released = await machines.release(name)
      if (isLost()) return [name, 'skipped'] // gone, but another worker writes to this run now
      await onReleased?.(name, released, known)
      return [name, 'released']
    } catch (error) {
      return [name, error instanceof LeaseLost ? 'skipped' : { error }]
    }
  })
  return new Map(await Promise.all(outcomes))
}

const namesOf = (leaks: readonly Leak[]) => [...new Set(leaks.map(({ thing }) => thing.name))]

/** The comparison alone. `runs` by training id: every run that a found resource names, if it exists. */
export function leaksAmong(
  found: readonly CloudResource[],
  runs: ReadonlyMap<string, Run>,
  now: Date,
  { minimumAgeMs = 10 * 60_000, deadlineGraceMs = 15 * 60_000 }: ReapPolicy = {},
): readonly Leak[] {
  return found.flatMap((thing) => {
    const young = thing.createdAt && now.getTime() - thing.createdAt.getTime() < minimumAgeMs
    const reason = young ? undefined : leakReason(thing, runs, now.getTime() - deadlineGraceMs)
    return reason ? [{ thing, reason }] : []
  })
}

function leakReason(
  { trainingId, attempt: number }: CloudResource,
  runs: ReadonlyMap<string, Run>,
  latestDeadline: number,
): LeakReason | undefined {
  const run = trainingId === undefined ? undefined : runs.get(trainingId)
  if (!run) return 'no run knows it'
  if (run.endedAt) return 'its run has ended'
  const attempt = allAttempts(run).find((each) => each.number === number)
  if (!attempt) return 'its attempt was never written'
  if (attempt.tornDownAt) return 'its attempt is torn down'
  return attempt.deadline.getTime() < latestDeadline ? 'its deadline has passed' : undefined
}

async function runsOf(
  found: readonly CloudResource[],
  runs: Pick<Runs, 'read'>,
): Promise<ReadonlyMap<string, Run>> {
  const ids = new Set(found.flatMap(({ trainingId }) => trainingId ?? []))
  const read = await Promise.all([...ids].map((id) => runs.read(id)))
  return new Map(read.flatMap((run) => (run ? [[run.id, run] as const] : [])))
}
