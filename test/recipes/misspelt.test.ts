import fc from 'fast-check'
import { expect, test } from 'vitest'
import { misspelt, unknownOverride } from '../../src/recipes/misspelt.ts'

test.each<[string, unknown, string]>([
  ['trigger_word', 'redkite', 'triggerWord'],
  ['TriggerWord', 'redkite', 'triggerWord'],
  ['trigger-word', 'redkite', 'triggerWord'],
  ['learning_rate', 1e-4, 'learningRate'],
  ['learningrate', 1e-4, 'learningRate'],
  ['learnigRate', 1e-4, 'learningRate'],
  ['learnningRate', 1e-4, 'learningRate'],
  ['leraningRate', 1e-4, 'learningRate'],
  ['lerningRate', 1e-4, 'learningRate'],
  ['step', 500, 'steps'],
  ['Rank', 16, 'rank'],
  ['EMA', true, 'ema'],
  ['sample_prompts', ['a kite'], 'samplePrompts'],
  ['samplePrompt', ['a kite'], 'samplePrompts'],
  ['model_name', 'Red kites', 'modelName'],
  ['trainer_image', 'registry.example/x', 'trainerImage'],
  ['enviroment', 'development', 'environment'],
])('%s: %j is told of: did you mean %s', (name, value, meant) => {
  expect(misspelt({ [name]: value })).toEqual([`${name} is no field of a training (did you mean ${meant}?)`])
})

test.each<[string, unknown]>([
  ['lerninRate', 1e-4],
  ['learning_rate', 'fast'],
  ['learning_rate', null],
  ['step', 0],
  ['step', 'training'],
  ['rang', 'first'],
  ['em', true],
  ['enviroment', 'a forest'],
  ['trigger_word', ''],
  ['trigger_word', { $ne: '' }],
  ['constructor', 5],
  ['__proto__x', 5],
  ['modelNumber', 'x'],
])('%s: %j could not have been meant, and is ignored', (name, value) => {
  expect(misspelt({ [name]: value })).toEqual([])
})

test('one that says the same as the right field does no harm; one that says another thing is told of', () => {
  expect(misspelt({ triggerWord: 'redkite', trigger_word: 'redkite' })).toEqual([])
  expect(misspelt({ triggerWord: 'redkite', trigger_word: 'bluekite' })).toHaveLength(1)
})

test('fields that an operator names as other systems’ are none of ours', () => {
  expect(misspelt({ step: 5, clip: true }, ['step', 'clip'])).toEqual([])
  expect(misspelt({ step: 5, clip: true }, ['clip'])).toHaveLength(1)
})

test('a document of 10,000 fields is searched in under half a second of CPU time, and five are told', () => {
  const fields = Object.fromEntries(
    Array.from({ length: 10_000 }, (_, index) => [`learningRat${String.fromCodePoint(0x4e00 + index)}`, 0.1]),
  )
  const before = process.cpuUsage()
  expect(misspelt(fields)).toHaveLength(5)
  const innocent = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`x${index}`, index]))
  expect(misspelt(innocent)).toEqual([])
  expect(process.cpuUsage(before).user).toBeLessThan(500_000)
})

test('whatever the fields are, there is an answer', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.anything()), (fields) => {
      expect(misspelt(fields).length).toBeLessThanOrEqual(5)
    }),
  )
})

test('where only overrides can be named, one that is none is told of, with the nearest or with all', () => {
  expect(unknownOverride('learningRate')).toBeUndefined()
  expect(unknownOverride('learning_rate')).toBe(
    'There is no override learning_rate. Did you mean learningRate?',
  )
  expect(unknownOverride('pace')).toMatch(/^There is no override pace\. There are steps, resolution, /)
  expect(unknownOverride('toString')).toMatch(/^There is no override toString\./)
})
