import { expect, test } from 'vitest'
import { type Figures, figuresOf, median, summarise } from '../../bench/figures.ts'
import { warmUpSteps } from '../../bench/settings.ts'
import { table } from '../../bench/table.ts'

/** Ends of a first step at 105 s, of `warm` steps of 5 s, and of steps that take what is given. */
function stepEnds(warm: number, durations: readonly number[]): number[] {
  const ends = [105]
  for (const duration of [...Array<number>(warm).fill(5), ...durations])
    ends.push((ends.at(-1) ?? 0) + duration)
  return ends
}

const reportOf = (durations: readonly number[], gpuBytes: number | null = null) => {
  const ends = stepEnds(warmUpSteps, durations)
  const processorEnds = ends.map((end) => (end - 100) / 2)
  return { stepEnds: ends, processorEnds, residentBytes: 2e9, gpuBytes, trainable: 3 }
}

test('the first steps do not count, and one stall among the others neither', () => {
  expect(figuresOf(reportOf([1, 1, 90]), 100)).toEqual({
    secondsPerStep: 1,
    secondsToFirstStep: 5,
    processorPerStep: 0.5,
    processorToFirstStep: 2.5,
    peakBytes: 2e9,
    trainable: 3,
  })
})

test('where there is a GPU its memory counts', () => {
  expect(figuresOf(reportOf([1], 7e9), 100).peakBytes).toBe(7e9)
})

test('a report of too few steps is refused', () => {
  expect(() => figuresOf({ ...reportOf([1]), stepEnds: [1, 2, 3] }, 0)).toThrow()
})

const figures = (secondsPerStep: number, trainable = 8): Figures => ({
  secondsPerStep,
  secondsToFirstStep: 4,
  processorPerStep: 0.01,
  processorToFirstStep: 2,
  peakBytes: 5e8,
  trainable,
})

test('ratios are taken within a round, so that a busy minute hits both sides', () => {
  const rounds = [
    [figures(0.01), figures(0.02)],
    [figures(1), figures(2)],
    [figures(0.02), figures(0.05)],
  ]
  const [ours, theirs] = summarise(rounds)
  expect(ours?.secondsPerStep).toEqual({ value: 0.02, ratio: 1 })
  expect(theirs?.secondsPerStep).toEqual({ value: 0.05, ratio: 2 })
})

test('adapters of different sizes are not compared', () => {
  expect(() => summarise([[figures(1, 8), figures(1, 9)]])).toThrow('different adapters: 8 and 9 numbers')
})

test('the middle of an even number of values is between two', () => {
  expect(median([4, 1, 3, 2])).toBe(2.5)
})

test('the table has our figures, and theirs with how many times ours they are', () => {
  const text = table(['ours', 'theirs'], summarise([[figures(0.0123), figures(0.246)]]), true)
  expect(text.split('\n')).toEqual([
    '|  | seconds a step | container start → first step | peak memory |',
    '| --- | --- | --- | --- |',
    '| ours | 0.0123 s | 4.0 s | 0.50 GB |',
    '| theirs | 0.246 s (20.00 ×) | 4.0 s (1.00 ×) | 0.50 GB (1.00 ×) |',
  ])
})

test('without a GPU it has the processor time too', () => {
  const [header] = table(['ours'], summarise([[figures(1)]]), false).split('\n')
  expect(header).toContain('| processor time a step | processor time to the first step |')
})
