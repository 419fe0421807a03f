import { recipes } from '../../src/recipes/registry.ts'
import { trainingId } from '../cloud/samples.ts'
import { planInput } from '../recipes/samples.ts'

export const plan = recipes.SDXL.plan({
  ...planInput,
  trainingId,
  name: 'kite',
  dataset: { ...planInput.dataset, clips: 0 },
  captions: [],
})
