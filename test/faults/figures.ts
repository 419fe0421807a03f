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
