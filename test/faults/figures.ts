/**
 * What a test has measured, for the table of `npm run faults`: given to the test's report, and summed up by
 * tools/faults.ts over all tests (counts are added; of what is called worst, the worst counts).
 */
import type { Figures } from '../../tools/fault-figures.ts'

declare module 'vitest' {
  interface TaskMeta {
    figures?: Figures
  }
}

/** `task` is what vitest hands to a test: `test('…', async ({ task }) => …)`. */
export function measured(task: { readonly meta: { figures?: Figures } }, figures: Figures): void {
  task.meta.figures = { ...task.meta.figures, ...figures }
}

/** Of the sentences that name broken promises (promises.ts), those that count as leaks and as double charges. */
export function countsOf(broken: readonly string[]): Pick<Figures, 'leaks' | 'doubleCharges'> {
  return {
    leaks: broken.filter((sentence) => /left behind|is left in the work bucket/.test(sentence)).length,
    doubleCharges: broken.filter((sentence) => /a movement was made twice/.test(sentence)).length,
  }
}
