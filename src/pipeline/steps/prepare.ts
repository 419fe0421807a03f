/**
 * From what a user asked for to what can be done: the document's fields, the dataset's pictures and the
 * recipe's limits are checked before a point or a machine is touched. Done when the run has a plan.
 */
import { z } from 'zod'
import { sizeOf } from '../../bases/base-size.ts'
import { type BaseModel, readBaseModel } from '../../bases/bases.ts'
import type { Dataset } from '../../datasets/datasets.ts'
import { Failure } from '../../failure.ts'
import { type Family, families } from '../../family.ts'
import { misspelt } from '../../recipes/misspelt.ts'
import { mayNameImage, type Offering, pricePoints } from '../../recipes/offerings.ts'
import { type Plan, planSchema } from '../../recipes/plan.ts'
import { recipes } from '../../recipes/registry.ts'
import { checkTriggerWord } from '../../recipes/trigger-word.ts'
import { printable, quoted } from '../../text.ts'
import type { Terms } from '../../trainings/runs.ts'
import type { Progress } from '../../trainings/trainings.ts'
import type { Job } from '../job.ts'
import { accessible, checkDataset, discreetly } from './dataset-access.ts'

export async function prepare(job: Job): Promise<Plan> {
  if (job.run.plan) return agreedPlan(job)
  const { datasets, prepareDataset, store } = job.ports

  checkFields(job)
  const { ownerAccountId, datasetId, offering, family } = checkRequest(job)
  const triggerWord = checkTriggerWord(job.training.triggerWord)
  const image = chooseImage(job, offering, family)
  const recipe = recipes[family]
  const dataset = accessible(await datasets.read(datasetId), datasetId, ownerAccountId)
  await discreetly(dataset, ownerAccountId, () => checkDataset(dataset))
  const base = await readBaseModel(store, offering.base)
  checkBase(base, family)

  const prepared = await discreetly(dataset, ownerAccountId, () =>
    job.within('preparing', (signal) => prepareDataset(job.training.id, dataset, recipe.limits, signal)),
  )
  const plan = recipe.plan({
    trainingId: job.training.id,
    name: fileName(job.training.modelName ?? dataset.name, job.training.id),
    triggerWord,
    baseModel: { name: base.name, sha256: base.sha256 },
    dataset: { images: prepared.images, clips: prepared.clips, sha256: prepared.sha256 },
    captions: prepared.captions,
    overrides: {
      ...job.training.overrides,
      ...(job.training.steps !== undefined && { steps: job.training.steps }),
    },
    offering: offering.overrides,
  })
  const size = sizeOf(base)
  const terms = termsOf(job, plan, dataset)
  await job.change({ plan, image, terms, ...(size && { base: size }) })
  const { trainings } = job.ports
  await trainings.recordProgress(job.training.id, nothingYet(plan))
  for (const warning of prepared.warnings) await job.record('warning', warning)
  return plan
}

/** Fields of a foreign type, and misspelt ones. */
function checkFields({ training, settings }: Job): void {
  const { problems, overrides, offeringId, baseModel, modelName, triggerWord, steps } = training
  const fields = { ...overrides, offeringId, baseModel, modelName, triggerWord, steps }
  const complaints = [...problems, ...misspelt(fields, settings.foreignFields)]
  if (complaints.length > 0) throw new Failure('bad-request', complaints.map(printable).join('; '))
}

/** What an earlier run of the training has left in the document is not this one's. */
function nothingYet({ steps: totalSteps }: Plan): Progress {
  return { progress: 0, step: 0, totalSteps, loss: undefined }
}

function checkRequest(job: Job): {
  ownerAccountId: string
  datasetId: string
  offeringId: string
  offering: Offering
  family: Family
} {
  const { training, settings } = job
  const { ownerAccountId, datasetId, offeringId, baseModel } = training
  if (!ownerAccountId) throw new Failure('bad-request', 'it names no account (ownerAccountId)')
  if (!datasetId) throw new Failure('bad-request', 'it names no dataset (datasetId)')
  if (!offeringId) throw new Failure('bad-request', 'it names no offering (offeringId)')

  const family = families.find((each) => each === baseModel)
  if (!family)
    throw new Failure(
      'unknown-model',
      `there is no base model ${quoted(baseModel)}; choose one of ${families.join(', ')}`,
    )
  const offering = Object.hasOwn(settings.offerings, offeringId) ? settings.offerings[offeringId] : undefined
  if (!offering) {
    const known = Object.keys(settings.offerings).join(', ')
    throw new Failure('unknown-model', `there is no offering ${quoted(offeringId)}; choose one of ${known}`)
  }
  if (offering.family !== family) {
    throw new Failure(
      'bad-request',
      `the offering ${quoted(offeringId)} trains ${offering.family}, not ${family}`,
    )
  }
  return { ownerAccountId, datasetId, offeringId, offering, family }
}

/** The job's own where its offering allows it, else the offering's, else the family's. */
function chooseImage({ training, settings }: Job, offering: Offering, family: Family): string {
  const { trainerImage } = training.overrides
  if (trainerImage === undefined || trainerImage === null) {
    const image = offering.image ?? settings.images[family]
    if (!image) throw new Failure('misconfigured', `the offering ${quoted(training.offeringId)} has no image`)
    return image
  }
  if (mayNameImage(offering, trainerImage)) return trainerImage
  const named = typeof trainerImage === 'string' ? quoted(trainerImage) : 'no text'
  throw new Failure(
    'bad-request',
    `its trainerImage is ${named}, which the offering ${quoted(training.offeringId)} does not allow`,
  )
}

/** A run that a release planned which knew no terms gets them now. */
async function agreedPlan(job: Job): Promise<Plan> {
  const plan = planOf(job)
  if (!job.run.terms) {
    const dataset = await job.ports.datasets.read(checkRequest(job).datasetId)
    const { captionSetId: _, ...terms } = termsOf(job, plan, dataset) // a newer one than it was planned with
    await job.change({ terms })
  }
  return plan
}

function termsOf(job: Job, plan: Plan, dataset: Dataset | undefined): Terms {
  const { ownerAccountId, datasetId, offeringId, offering } = checkRequest(job)
  const { modelName } = job.training
  return {
    ownerAccountId,
    datasetId,
    offeringId,
    ...(modelName !== undefined && { modelName: printable(modelName).trim() }),
    ...(dataset?.ownerAccountId && { creatorAccountId: dataset.ownerAccountId }),
    ...(dataset?.captionSetId && dataset.captions.some(Boolean) && { captionSetId: dataset.captionSetId }),
    pricePoints: pricePoints(offering, plan, job.settings),
  }
}

/** A job outlives a release: its plan is read as strictly as a stranger's. */
function planOf({ run }: Job): Plan {
  const { success, data, error } = planSchema.safeParse(run.plan)
  if (success && run.image !== undefined) return data
  const problem = error ? z.prettifyError(error) : 'it names no trainer image'
  throw new Failure('foreign-plan', `its plan can't be read: ${problem}`)
}

/** Of a job that has a plan. */
export function imageOf({ run }: Job): string {
  if (run.image === undefined) throw new Failure('internal', 'its plan was made without a trainer image')
  return run.image
}

function checkBase(base: BaseModel, family: Family): void {
  if (base.family !== family)
    throw new Failure('misconfigured', `base ${base.name} is of family ${base.family}, not ${family}`)
}

/** `red-kite-5f1e2d`: what people called it, as a file name, made unique by the training's id. */
function fileName(name: string, trainingId: string): string {
  const stem = name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/\p{M}/gu, '')
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 40)
    .replace(/^-+|-+$/g, '')
  return `${stem || 'lora'}-${trainingId.slice(-6)}`
}
