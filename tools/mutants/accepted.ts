/**
 * Mutants that no test has to notice, each with its reason: they change nothing that anybody could see, or what they change
 * isn't promised. They don't count; an entry that matches nothing any more is an error.
 */
export type Accepted = {
  readonly file: string
  readonly original: string
  /** '' where it is removed. */
  readonly mutant: string
  readonly reason: string
}

export const accepted: readonly Accepted[] = []
