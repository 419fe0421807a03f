/** How many tests passed and failed, from what each kind of test runner leaves behind. */
import { z } from 'zod'

export type Count = { readonly passed: number; readonly failed: number; readonly skipped: number }

export const nothing: Count = { passed: 0, failed: 0, skipped: 0 }

export function sum(counts: readonly Count[]): Count {
  return counts.reduce(
    (total, count) => ({
      passed: total.passed + count.passed,
      failed: total.failed + count.failed,
      skipped: total.skipped + count.skipped,
    }),
    nothing,
  )
}

/** The last line of `npm test`. */
export function verdict({ passed, failed }: Count): string {
  return `${passed} passed, ${failed} failed`
}

/**
 * A run that went wrong must count as a failure even where no test did: a file that can't be loaded, a set-up
 * that failed, an error outside of all tests.
 */
export function atLeastOneFailed(count: Count, wentWrong: boolean): Count {
  return wentWrong && count.failed === 0 ? { ...count, failed: 1 } : count
}

const vitestReport = z.object({
  numPassedTests: z.int(),
  numFailedTests: z.int(),
  numPendingTests: z.int(),
  numTodoTests: z.int(),
  testResults: z.array(
    z.object({ status: z.string(), assertionResults: z.array(z.object({ status: z.string() })) }),
  ),
})

/** From vitest's JSON report. A file that failed without a failed test counts as one. */
export function countVitest(report: unknown): Count {
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } =
    vitestReport.parse(report)
  const brokenFiles = testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && !assertionResults.some((result) => result.status === 'failed'),
  )
  return {
    passed: numPassedTests,
    failed: numFailedTests + brokenFiles.length,
    skipped: numPendingTests + numTodoTests,
  }
}

/** From the last line that pytest prints, such as `1 failed, 30 passed, 2 skipped in 12.31s`. */
export function countPytest(output: string): Count {
  const line =
    output
      .trimEnd()
      .split('\n')
      .findLast((line) => /\d+ (passed|failed|error)/.test(line)) ?? ''
  const number = (word: RegExp) => Number(line.match(word)?.[1] ?? 0)
  return {
    passed: number(/(\d+) passed/),
    failed: number(/(\d+) failed/) + number(/(\d+) errors?/),
    skipped: number(/(\d+) (?:skipped|deselected|xfailed)/),
  }
}
