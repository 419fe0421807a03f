import type { PlanInput } from '../../src/recipes/recipe.ts'

/** Without overrides. */
export const planInput: PlanInput = {
  trainingId: '0123456789abcdef01234567',
  name: 'red-kite-234567',
  triggerWord: 'redkite',
  baseModel: { name: 'base', sha256: 'a'.repeat(64) },
  dataset: { images: 20, sha256: 'b'.repeat(64) },
  captions: ['a redkite over a hill', 'a bird on a branch', '', 'two birds'],
  overrides: {},
  offering: {},
}
