/** From what `measure.py` wrote to the figures, and from several rounds of them to one. */
import { z } from 'zod'
import { warmUpSteps } from './settings.ts'

const reportSchema = z.object({
  /** Seconds since 1970. */
  stepEnds: z.array(z.number()).min(warmUpSteps + 2),
  /** Seconds of processor time that the process had used by then. */
  processorEnds: z.array(z.number()).min(warmUpSteps + 2),
  residentBytes: z.int().positive(),
  gpuBytes: z.int().nullable(),
  trainable: z.int().positive(),
})

export type Figures = {
  readonly secondsPerStep: number
  /** From the container's start to the end of the first step. */
  readonly secondsToFirstStep: number
  /** The same two in processor time: where there is no GPU, a busy computer leaves these as they are. */
  readonly processorPerStep: number
  readonly processorToFirstStep: number
  /** Until the last step: the GPU's allocator, or the process's resident memory where there is none. */
  readonly peakBytes: number
  /** How many numbers are trained. */
  readonly trainable: number
}

/** @param startedAt When the container started, in seconds since 1970 */
export function figuresOf(report: unknown, startedAt: number): Figures {
  const { stepEnds, processorEnds, residentBytes, gpuBytes, trainable } = reportSchema.parse(report)
  return {
    secondsPerStep: typicalStep(stepEnds),
    secondsToFirstStep: (stepEnds[0] ?? Number.NaN) - startedAt,
    processorPerStep: typicalStep(processorEnds),
    processorToFirstStep: processorEnds[0] ?? Number.NaN,
    peakBytes: gpuBytes ?? residentBytes,
    trainable,
  }
}

/** The median after the warm-up. */
function typicalStep(ends: readonly number[]): number {
  const durations = ends.slice(1).map((end, index) => end - (ends[index] ?? end))
  return median(durations.slice(warmUpSteps))
}

export type Measured = Exclude<keyof Figures, 'trainable'>

/** Over all rounds: the median, and the median of the ratios to the first contender's figure of the same round. */
export type Summary = Readonly<Record<Measured, { readonly value: number; readonly ratio: number }>>

/**
 * @param rounds One list a round, each with the contenders' figures in the same order, ours first
 * @throws when they did not train equally many numbers
 */
export function summarise(rounds: readonly (readonly Figures[])[]): readonly Summary[] {
  const sizes = new Set(rounds.flat().map(({ trainable }) => trainable))
  if (sizes.size !== 1)
    throw new Error(`The contenders train different adapters: ${[...sizes].join(' and ')} numbers.`)
  return (rounds[0] ?? []).map((_, contender) => {
    const of = (figure: Measured) => ({
      value: median(rounds.map((round) => round[contender]?.[figure] ?? Number.NaN)),
      ratio: median(
        rounds.map((round) => (round[contender]?.[figure] ?? Number.NaN) / (round[0]?.[figure] ?? 1)),
      ),
    })
    return {
      secondsPerStep: of('secondsPerStep'),
      secondsToFirstStep: of('secondsToFirstStep'),
      processorPerStep: of('processorPerStep'),
      processorToFirstStep: of('processorToFirstStep'),
      peakBytes: of('peakBytes'),
    }
  })
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2
}
