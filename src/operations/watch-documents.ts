/**
 * Looks for documents that no claim will ever touch, and that an operator should know of: an `_id` or a status that
 * is not understood, and documents that are `RUNNING` although no worker here has claimed them. One alert stands for
 * all of a kind. A document whose training has ended here gets its ending back.
 */
import type { Alerts } from '../notify/alerts.ts'
import { restoreEnding } from '../pipeline/run-job.ts'
import type { Runs } from '../trainings/runs.ts'
import type { Trainings } from '../trainings/trainings.ts'

type Parts = {
  readonly trainings: Trainings
  readonly runs: Pick<Runs, 'read'>
  readonly alerts: Alerts
}

const notUnderstoodKey = 'documents-not-understood'
const strangersKey = 'documents-of-others'

/** Looked at in one go. */
const most = 100

export async function watchDocuments(parts: Parts): Promise<void> {
  const { trainings, alerts } = parts
  const { count, examples } = await trainings.notUnderstood()
  if (count === 0) await alerts.clear(notUnderstoodKey, 'Every document of trainingJobs is understood.')
  else
    await alerts.raise(notUnderstoodKey, {
      severity: 'warning',
      title: 'Some documents of trainingJobs are not understood',
      text: `They are left alone, ${count} of them: ${examples.join('; ')}.`,
    })

  const left = await leftAlone(parts)
  if (left.length === 0) await alerts.clear(strangersKey, 'None is left.')
  else
    await alerts.raise(strangersKey, {
      severity: 'warning',
      title: 'Some documents of trainingJobs are RUNNING, and no worker has claimed them',
      text: `They are left alone, ${left.length === most ? `at least ${most}` : left.length} of them, such as ${left.slice(0, 5).join(', ')}. Set them to QUEUED to train them, or to FAILED.`,
    })
}

async function leftAlone({ trainings, runs }: Parts): Promise<readonly string[]> {
  const left: string[] = []
  for (const id of await trainings.strangers(most)) {
    const run = await runs.read(id)
    if (!run) left.push(id)
    else await restoreEnding(run, { trainings })
  }
  return left
}
