/** `datasets` in MongoDB. No index is needed: everything goes by `_id`. */
import type { Db, Document } from 'mongodb'
import { byId, durable, objectId } from '../mongo.ts'
import { datasetFrom } from './dataset-document.ts'
import type { Datasets } from './datasets.ts'

export function mongoDatasets(db: Db): Datasets {
  const datasets = durable(db, 'datasets')
  return {
    async read(id) {
      const document = await datasets.findOne(byId(id))
      return document ? datasetFrom(document) : undefined
    },
    async recordTraining(datasetId, trainingId) {
      const training = objectId(trainingId)
      // a foreign value in either field is replaced: it can't be added to
      await datasets.updateOne({ ...byId(datasetId), trainingIds: { $ne: training } } as Document, [
        {
          $set: {
            trainingIds: { $concatArrays: [ifIs('$isArray', '$trainingIds', []), [training]] },
            usageCount: { $add: [ifIs('$isNumber', '$usageCount', 0), 1] },
          },
        },
      ])
    },
  }
}

function ifIs(test: '$isArray' | '$isNumber', field: string, otherwise: unknown): Document {
  return { $cond: [{ [test]: field }, field, otherwise] }
}
