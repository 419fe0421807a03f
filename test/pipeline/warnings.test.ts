import { expect, test } from 'vitest'
import { openWarnings } from '../../src/pipeline/training/warnings.ts'
import { trainingId } from '../cloud/samples.ts'
import { openTestJob } from './open-job.ts'

const numbers = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => `${from + index}`)

test('a trainer has ninety places, the worker ten more, and what finds none is counted', async () => {
  const { job, timeline } = await openTestJob()
  const warnings = await openWarnings(job)
  for (const word of numbers(1, 95)) warnings.fromTrainer(`trainer ${word}`)
  for (const word of numbers(1, 12)) warnings.say(`worker ${word}`)
  await warnings.close()
  const told = (await timeline.read(trainingId)).map(({ message }) => message)
  expect(told).toEqual([
    ...numbers(1, 90).map((word) => `trainer ${word}`),
    ...numbers(1, 10).map((word) => `worker ${word}`),
    '7 more warnings were left out',
  ])
})

test('what is in the timeline is not told again by the next worker that follows the training', async () => {
  const { job, timeline } = await openTestJob()
  for (const _ of [1, 2]) {
    const warnings = await openWarnings(job)
    warnings.fromTrainer('the disk is slow')
    warnings.fromTrainer('the disk is slow')
    await warnings.close()
  }
  expect(await timeline.read(trainingId)).toHaveLength(1)
})
