/** The figures of the fault kit: what each test measured, and what they come to together. */
import { z } from 'zod'

const count = z.int().nonnegative().optional()

export const figuresSchema = z.object({
  /** Places where a process was killed, and those of them after which every promise was kept. */
  crashPoints: count,
  crashesSurvived: count,
  /** Random interleavings of jobs, workers, faults and cancels. */
  schedules: count,
  /** Troubles that were made on purpose, beside the crashes. */
  faults: count,
  /** Things that were left after everything had ended. */
  leaks: count,
  /** Jobs with more than one charge, refund, or credit of a role. */
  doubleCharges: count,
  /** Steps that a job had to train again after a machine was lost: the most. */
  lostSteps: count,
  /** From the death of a worker to the moment when another has taken its job up: the longest. */
  resumeSeconds: z.number().nonnegative().optional(),
})

export type Figures = Readonly<z.infer<typeof figuresSchema>>

type Name = keyof Figures

const rows: Readonly<Record<Name, { readonly label: string; readonly together: 'sum' | 'worst' }>> = {
  crashPoints: { label: 'crash points found', together: 'sum' },
  crashesSurvived: { label: 'crash points survived', together: 'sum' },
  schedules: { label: 'random schedules', together: 'sum' },
  faults: { label: 'other faults injected', together: 'sum' },
  leaks: { label: 'leaks', together: 'sum' },
  doubleCharges: { label: 'double charges', together: 'sum' },
  lostSteps: { label: 'lost steps at most', together: 'worst' },
  resumeSeconds: { label: 'worst time to resume', together: 'worst' },
}

/** Label and value of each figure that any test has measured. */
export function summed(all: readonly Figures[]): readonly (readonly [label: string, value: string])[] {
  return Object.entries(rows).flatMap(([name, { label, together }]) => {
    const values = all.flatMap((figures) => figures[name as Name] ?? [])
    if (values.length === 0) return []
    const value = together === 'sum' ? values.reduce((sum, each) => sum + each, 0) : Math.max(...values)
    return [[label, name === 'resumeSeconds' ? `${value.toFixed(1)} s` : String(value)] as const]
  })
}
