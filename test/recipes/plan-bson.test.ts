/** A plan is kept in the database, and its text's sum names it on the machine: it must come back as it went. */
import fc from 'fast-check'
import { BSON, ObjectId } from 'mongodb'
import { expect, test } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { families } from '../../src/family.ts'
import type { Plan } from '../../src/recipes/plan.ts'
import { planText } from '../../src/recipes/plan-text.ts'
import { recipes } from '../../src/recipes/registry.ts'
import { trainingFrom } from '../../src/trainings/training-document.ts'
import { planInput } from './samples.ts'

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 1500 }),
  fc.string({ unit: fc.constantFrom('😀', 'é', 'a', '\ud83d', '\ude00', '\0'), maxLength: 1500 }),
  // an emoji across each cut
  fc.constantFrom(63, 64, 999, 1000, 1999, 2000).map((length) => `${'a'.repeat(length - 1)}😀😀`),
)
const overrides = fc.record(
  {
    samplePrompts: fc.array(text, { maxLength: 8 }),
    steps: fc.oneof(fc.integer({ min: 10, max: 1000 }), fc.constant(-0)),
    warmupSteps: fc.constantFrom(0, -0, 5),
    captionDropout: fc.double({ min: 0, max: 1, noNaN: true }),
    alpha: fc.double({ min: 0.01, max: 1024, noNaN: true }),
    learningRate: fc.double({ min: 1e-7, max: 10, noNaN: true }),
    notes: fc.anything(),
  },
  { requiredKeys: [] },
)

test.each(families)(
  'whatever a document of %s holds, its plan survives the database byte for byte',
  (family) => {
    let planned = 0
    fc.assert(
      fc.property(
        overrides,
        fc.array(text, { minLength: 1, maxLength: 4 }),
        text,
        (given, captions, word) => {
          const training = trainingFrom({ _id: new ObjectId(), status: 'QUEUED', ...given })
          const plan = planOf(family, { ...training.overrides, steps: training.steps }, captions, word)
          if (!plan) return
          planned++
          const run = { plan, terms: { modelName: training.modelName } }
          const back = BSON.deserialize(BSON.serialize(run, { ignoreUndefined: true })) as { plan: Plan }
          expect(planText(back.plan)).toBe(planText(plan))
        },
      ),
      { numRuns: 300 },
    )
    expect(planned).toBeGreaterThan(30)
  },
)

/** Undefined where it is refused. */
function planOf(
  family: Plan['family'],
  overrides: Record<string, unknown>,
  captions: readonly string[],
  word: string,
): Plan | undefined {
  try {
    return recipes[family].plan({
      ...planInput,
      name: 'kite-234567',
      triggerWord: word.toWellFormed().slice(0, 20).toWellFormed() || null,
      captions: captions.map((caption) => caption.toWellFormed()),
      overrides,
    })
  } catch (error) {
    if (error instanceof Failure) return undefined
    throw error
  }
}
