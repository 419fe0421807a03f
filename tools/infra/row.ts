/** One line of `npm run infra:check`'s table. */
export type Row = {
  readonly check: string
  readonly result: 'passed' | 'failed' | 'skipped'
  /** What was seen, or why not. */
  readonly detail: string
}
