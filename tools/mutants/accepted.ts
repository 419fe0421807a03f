/**
 * Mutants that no test has to notice, each with its reason: they change nothing observable, or what they change
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
    file: 'src/operations/reaper.ts',
    original: 'now.getTime() - thing.createdAt.getTime() < minimumAgeMs',
    mutant: 'now.getTime() - thing.createdAt.getTime() <= minimumAgeMs',
    reason: 'a thing of ten minutes to the millisecond is judged at this look or at the next',
  },
  {
    file: 'src/cloud/pulumi/system-error.ts',
    original: '0',
    mutant: '1',
    reason: 'five causes are followed, or four: no promise says how many, only that a circle ends',
  },
  {
    file: 'src/ledger/mongo-budget.ts',
    original: '(await costs.findOne({ _id: key }))?.micros ?? cost.micros',
    mutant: '(await costs.findOne({ _id: key }))?.micros',
    reason: 'for the types: a cost that was just written is there',
  },
  {
    file: 'local/emulator/ec2/retries.ts',
    original: '1 + Math.random()',
    mutant: '1 - Math.random()',
    reason: 'how long the emulator pauses between two tries is no promise; how often it tries is recorded',
  },
  {
    file: 'src/operations/watch-leaks.ts',
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
    file: 'src/pipeline/run-job.ts',
    original: 'run.crashes ?? 0',
    mutant: 'run.crashes',
    reason: 'for the types: undefined is above no number, and neither is 0',
  },
  {
    file: 'src/pipeline/wanted.ts',
    original: 'run.lastStep ?? 0',
    mutant: 'run.lastStep',
    reason: 'for the types: undefined reaches no number of steps, and neither does 0',
  },
  {
    file: 'src/bases/bases.ts',
    original: 'a.path < b.path',
    mutant: 'a.path <= b.path',
    reason: 'no two files have one path',
  },
  {
    file: 'test/fakes/simulated-machine.ts',
    original: '1e11',
    mutant: '0',
    reason: 'no test watches a simulated disk: those in test/integration watch a real one',
  },
]
