/**
 * The reaper finds what a job left in the cloud and removes it: a safety net under the workflow's own
 * teardown, for what no worker remembers.
 *
 * Order matters. The cloud is listed *before* the runs are read, and an attempt is written before the
 * cloud is asked, so whatever was listed is known to some run, or to nobody. The age floor is a second
 * guard, against clocks that differ. Only this deployment's things are listed at all (`existing`).
 */
import { allAttempts, type Run, type Runs } from '../trainings/runs.ts'
import type { Found, Machines } from './machines.ts'

export type LeakReason =
  | 'nobody knows it'
  | 'its attempt was never written'
  | 'its attempt is torn down'
  | 'its run has ended'
  | 'its deadline has passed'

export type Leak = { readonly thing: Found; readonly reason: LeakReason }

export type ReapPolicy = {
  /** Younger things are left alone, in milliseconds. Default 10 minutes. */
  readonly minimumAgeMs?: number
  /** A machine should have switched itself off this long ago, in milliseconds. Default 15 minutes. */
  readonly deadlineGraceMs?: number
}

export type ReapReport = {
  readonly at: Date
  readonly dryRun: boolean
  readonly found: number
  readonly leaks: readonly Leak[]
  /** Names of machines whose things were all removed. */
  readonly released: readonly string[]
  /** Those that are still there; somebody has to look. */
  readonly failed: readonly { readonly name: string; readonly error: unknown }[]
}

export type ReapParts = ReapPolicy & {
  readonly machines: Pick<Machines, 'existing' | 'release'>
  readonly runs: Pick<Runs, 'read'>
  /** By the clock that deadlines are written by. */
  readonly now: Date
  /** Report only. */
  readonly dryRun?: boolean
  readonly onLeak?: (leak: Leak) => void
}

export async function reap(parts: ReapParts): Promise<ReapReport> {
  const { machines, runs, now: at, dryRun = false } = parts
  const found = await machines.existing()
  const leaks = leaksAmong(found, await runsOf(found, runs), at, parts)
  for (const leak of leaks) parts.onLeak?.(leak)
  const names = dryRun ? [] : [...new Set(leaks.map(({ thing }) => thing.name))]
  const outcomes = await Promise.allSettled(names.map((name) => machines.release(name)))
  return {
    at,
    dryRun,
    found: found.length,
    leaks,
    released: names.filter((_, index) => outcomes[index]?.status === 'fulfilled'),
    failed: outcomes.flatMap((outcome, index) =>
      outcome.status === 'rejected' ? [{ name: names[index] as string, error: outcome.reason }] : [],
    ),
  }
}

/** The comparison alone. `runs` by training id: every run that a found thing names, if it exists. */
export function leaksAmong(
  found: readonly Found[],
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
  { trainingId, attempt: number }: Found,
  runs: ReadonlyMap<string, Run>,
  latestDeadline: number,
): LeakReason | undefined {
  const run = trainingId === undefined ? undefined : runs.get(trainingId)
  if (!run) return 'nobody knows it'
  if (run.endedAt) return 'its run has ended'
  const attempt = allAttempts(run).find((each) => each.number === number)
  if (!attempt) return 'its attempt was never written'
  if (attempt.tornDownAt) return 'its attempt is torn down'
  return attempt.deadline.getTime() < latestDeadline ? 'its deadline has passed' : undefined
}

async function runsOf(found: readonly Found[], runs: Pick<Runs, 'read'>): Promise<ReadonlyMap<string, Run>> {
  const ids = new Set(found.flatMap(({ trainingId }) => trainingId ?? []))
  const read = await Promise.all([...ids].map((id) => runs.read(id)))
  return new Map(read.flatMap((run) => (run ? [[run.id, run] as const] : [])))
}
