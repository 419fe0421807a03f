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

export const accepted: readonly Accepted[] = [
  {
    file: 'src/cloud/system-error.ts',
    original: '0',
    mutant: '1',
    reason: 'five causes are followed, or four: no promise says how many, only that a circle ends',
  },
  {
    file: 'src/notify/watch-leaks.ts',
    original: 'lastEvent',
    mutant: 'true',
    reason: 'for the types: a run that an event was just written to has one',
  },
  {
    file: 'src/pipeline/steps/on-machine.ts',
    original: "job.run.attempts.at(-1)?.name ?? ''",
    mutant: 'job.run.attempts.at(-1)?.name',
    reason: 'for the types: there is no phase on a machine without an attempt',
  },
  {
    file: 'src/remote/simulated-machine.ts',
    original: '1e11',
    mutant: '0',
    reason: 'no test watches a simulated disk: those in test/integration watch a real one',
  },
]
