/**
 * Whether a job is still wanted, by its document, which belongs to people: they may cancel it, end it by hand, or delete
 * it at any time. A job whose last step is trained is delivered all the same: it is paid for, and its model is there.
 */
import type { Run } from '../trainings/runs.ts'
import type { Training } from '../trainings/trainings.ts'

/** Why it is not wanted, as a phrase for people; undefined where it is. */
export function unwanted(run: Run, training: Training | undefined): string | undefined {
  if (run.plan && (run.lastStep ?? 0) >= run.plan.steps) return undefined
  if (!training) return 'its document was deleted'
  if (training.status === 'RUNNING' || training.status === 'QUEUED') return undefined
  if (training.status === 'CANCELLED') return 'cancelled by its owner'
  return `its document was set to ${training.status}`
}

/** The training as its run was agreed on: what its document says since then does not count. */
export function asAgreed(id: string, document: Training | undefined, { terms, startedAt }: Run): Training {
  const training = document ?? missing(id, startedAt)
  return terms ? { ...training, modelName: undefined, ...terms } : training
}

function missing(id: string, createdAt: Date): Training {
  return {
    id,
    status: 'CANCELLED',
    ownerAccountId: undefined,
    datasetId: undefined,
    offeringId: undefined,
    baseModel: undefined,
    modelName: undefined,
    triggerWord: undefined,
    steps: undefined,
    createdAt,
    costPoints: undefined,
    problems: [],
    overrides: {},
  }
}
