/**
 * Tells operators when jobs end with internal errors one after the other: then it is not the job. Read from
 * the runs, so that it holds over all workers and survives a restart. Over with the first that ends otherwise.
 */
import type { Alerts } from '../notify/alerts.ts'
import type { Run, Runs } from '../trainings/runs.ts'

const inARow = 3
/** Runs are listed by their start; among so many are the last that ended. */
const looksAt = 200
const key = 'internal-errors'

export async function watchEndings({
  runs,
  alerts,
}: {
  readonly runs: Pick<Runs, 'recent'>
  readonly alerts: Alerts
}): Promise<void> {
  const last = lastEnded(await runs.recent(looksAt))
  if (last.length === 0) return
  if (last.length < inARow || last.some(({ outcome }) => outcome?.ending !== 'internal')) {
    if (last[0]?.outcome?.ending !== 'internal')
      await alerts.clear(key, `Training ${last[0]?.id} ended otherwise.`)
    return
  }
  await alerts.raise(key, {
    severity: 'critical',
    title: `${inARow} trainings in a row ended with an internal error`,
    text: `${last.map(({ id }) => id).join(', ')}: see the "failure" events of their timelines.`,
  })
}

/** Newest first; those that their owners cancelled say nothing about us. */
function lastEnded(runs: readonly Run[]): readonly Run[] {
  const decidedAt = (run: Run) => run.outcome?.decidedAt.getTime() ?? 0
  return runs
    .filter(({ outcome }) => outcome && outcome.ending !== 'cancelled')
    .toSorted((one, other) => decidedAt(other) - decidedAt(one))
    .slice(0, inARow)
}
