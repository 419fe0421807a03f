/** `loraModels` without a database, for runs of the workflow with simulated parts. */
import type { Models, NewModel, RegisteredModel } from '../../src/models/models.ts'
import { modelIdFor, slugs } from '../../src/models/slug.ts'

export type MemoryModels = Models & { all(): readonly (RegisteredModel & NewModel)[] }

export function memoryModels(): MemoryModels {
  const byTraining = new Map<string, RegisteredModel & NewModel>()

  function find(trainingId: string): RegisteredModel | undefined {
    const found = byTraining.get(trainingId)
    return found && { id: found.id, slug: found.slug, name: found.name }
  }

  return {
    findByTraining: async (trainingId) => find(trainingId),
    all: () => [...byTraining.values()],
    async register(model) {
      const registered = find(model.trainingId)
      if (registered) return registered
      const id = modelIdFor(model.trainingId)
      const taken = new Set([...byTraining.values()].map(({ slug }) => slug))
      const slug = slugs(model.name, id).find((each) => !taken.has(each))
      if (!slug) throw new Error(`no free slug for the model "${model.name}" of ${model.trainingId}`)
      byTraining.set(model.trainingId, { ...model, id, slug })
      return { id, slug, name: model.name }
    },
  }
}
