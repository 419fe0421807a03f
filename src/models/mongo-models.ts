/**
 * `loraModels` in MongoDB. The `_id` is computed from the training's id, so a second registration of the
 * same training is a duplicate of the primary key, from any worker and at any time.
 */
import { type Db, Double, type ObjectId } from 'mongodb'
import { durable, isDuplicateKey, objectId } from '../mongo.ts'
import type { Models, NewModel, RegisteredModel } from './models.ts'
import { modelIdFor, slugs } from './slug.ts'

export type ModelsOptions = {
  /** The `permissionType` of a new model. Default `private`. */
  readonly permissionType?: string
}

type ModelDocument = { readonly _id: ObjectId; readonly slug: string; readonly name: string }

export function mongoModels(db: Db, options: ModelsOptions = {}): Models {
  const models = durable<ModelDocument>(db, 'loraModels')

  async function findByTraining(trainingId: string): Promise<RegisteredModel | undefined> {
    const found = await models.findOne({ _id: objectId(modelIdFor(trainingId)) })
    return found ? { id: found._id.toHexString(), slug: found.slug, name: found.name } : undefined
  }

  return {
    findByTraining,
    async register(model) {
      const id = modelIdFor(model.trainingId)
      for (const slug of slugs(model.name, id)) {
        const registered = await findByTraining(model.trainingId)
        if (registered) return registered
        if (await models.findOne({ slug }, { projection: { _id: 1 } })) continue
        try {
          await models.insertOne(documentOf(model, id, slug, options))
        } catch (error) {
          if (!isDuplicateKey(error)) throw error // by this training, or another took the slug
        }
      }
      const registered = await findByTraining(model.trainingId)
      if (!registered) throw new Error(`no free slug for the model "${model.name}" of ${model.trainingId}`)
      return registered
    },
  }
}

function documentOf(model: NewModel, id: string, slug: string, options: ModelsOptions): ModelDocument {
  const now = new Date()
  const { trainingId, datasetId, captionSetId, steps, baseModel, duration, finalLoss, trainedAt } = model
  const owner = objectId(model.ownerAccountId)
  const document = {
    _id: objectId(id),
    slug,
    name: model.name,
    triggerWords: model.triggerWords,
    cognates: [],
    defaultWeight: new Double(1),
    modelType: 'lora',
    checkpoint: model.family,
    trainedFrom: {
      trainingId: objectId(trainingId),
      datasetId: objectId(datasetId),
      ...(captionSetId && { captionSetId: objectId(captionSetId) }),
      tool: 'bellows',
      steps,
      baseModel,
      duration,
      finalLoss,
      trainedAt,
    },
    tags: [{ tag: model.family.toLowerCase(), source: 'training' }],
    description: `${model.family} LoRA, trained for ${steps} steps on ${baseModel}.`,
    examplePrompts: model.examplePrompts,
    previewImages: model.previewImages,
    usageCount: 0,
    visibility: 'private',
    permissionType: options.permissionType ?? 'private',
    createdBy: owner,
    ownedBy: owner,
    publishedTo: { cloudflareUrl: model.modelFileUrl, modelFileUrl: model.modelFileUrl, uploadedAt: now },
    createdAt: now,
  }
  return document
}
