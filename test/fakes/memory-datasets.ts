/** `datasets` without a database, for runs of the workflow with simulated parts. */
import { ObjectId } from 'mongodb'
import { datasetFrom } from '../../src/datasets/dataset-document.ts'
import type { Datasets } from '../../src/datasets/datasets.ts'
import { toIdText } from '../../src/mongo.ts'

export type MemoryDatasets = Datasets & {
  /** As the UI does; returns the id. */
  insert(document: Record<string, unknown>): string
  document(id: string): Readonly<Record<string, unknown>> | undefined
}

export function memoryDatasets(): MemoryDatasets {
  const documents = new Map<string, Record<string, unknown>>()
  return {
    insert(document) {
      const copy = { _id: new ObjectId(), ...document }
      documents.set(toIdText(copy._id), copy)
      return toIdText(copy._id)
    },
    document: (id) => documents.get(id),
    async read(id) {
      const document = documents.get(id)
      return document && datasetFrom(document)
    },
    async recordTraining(datasetId, trainingId) {
      const document = documents.get(datasetId)
      if (!document) return
      const trainings: unknown[] = Array.isArray(document.trainingIds) ? document.trainingIds : []
      const training = ObjectId.createFromHexString(trainingId)
      if (trainings.some((each) => each instanceof ObjectId && each.equals(training))) return
      const count = typeof document.usageCount === 'number' ? document.usageCount : 0
      Object.assign(document, { trainingIds: [...trainings, training], usageCount: count + 1 })
    },
  }
}
