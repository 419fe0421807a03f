import { Failure } from '../../failure.ts'
import type { Manifest } from '../../models/manifest.ts'
import type { Plan } from '../../recipes/plan.ts'
import { recipes } from '../../recipes/registry.ts'
import { cut, printable } from '../../text.ts'
import type { TrainingResult } from '../../trainings/trainings.ts'
import type { Job } from '../job.ts'

/** Characters of a name in the gallery. */
const longestName = 200

/** Puts the model into the gallery, then into ComfyUI. Evidence: the model whose id follows from the job's. */
export async function register(job: Job, plan: Plan, shipped: Manifest): Promise<TrainingResult> {
  return job.within('registering', async () => {
    const { models } = job.ports
    const { id: trainingId, ownerAccountId, datasetId, modelName } = job.training
    const [main] = shipped.models
    if (!main || !ownerAccountId || !datasetId)
      throw new Error(`training ${trainingId} has nothing to register`)

    const previewImages = shipped.samples.map(({ url }) => url)
    const triggerWords = plan.triggerWord ? [plan.triggerWord] : []
    const model = await models.register({
      trainingId,
      datasetId,
      captionSetId: job.run.terms?.captionSetId,
      ownerAccountId,
      name: cut(printable(modelName ?? '').trim(), longestName) || plan.name,
      family: plan.family,
      baseModel: plan.baseModel.name,
      triggerWords,
      steps: shipped.training.steps,
      duration: shipped.training.seconds,
      finalLoss: shipped.training.finalLoss,
      trainedAt: shipped.training.finishedAt,
      examplePrompts: plan.samples.prompts,
      previewImages,
      modelFileUrl: main.url,
    })
    await install(job, model.id, shipped)
    await job.change({ modelId: model.id })
    await job.reach(
      'registered',
      `${model.name} is in the gallery and in ComfyUI (${recipes[plan.family].family})`,
    )
    return { modelId: model.id, modelRepoUrl: main.url, triggerWords, previewImages }
  })
}

const awayAlert = 'comfyui'

/** A model that is trained and paid for waits for a ComfyUI that is away; operators are told. */
async function install(job: Job, modelId: string, { models }: Manifest): Promise<void> {
  const { comfyUi, alerts } = job.ports
  try {
    for (const { name, url, size, sha256 } of models) {
      await comfyUi.install({ modelId, filename: name.split('/').at(-1) ?? name, url, size, sha256 })
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    await alerts.raise(awayAlert, {
      severity: 'critical',
      title: 'ComfyUI does not accept models',
      text: `Training ${job.training.id} is done, but its model can't be installed: ${why}. It is retried until it works.`,
    })
    throw new Failure('comfyui-failed', `ComfyUI did not accept the model: ${why}`, { cause: error })
  }
  await alerts.clear(awayAlert, 'ComfyUI takes models again.')
}
