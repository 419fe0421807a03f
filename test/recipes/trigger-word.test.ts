import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { checkTriggerWord, withTrigger } from '../../src/recipes/trigger-word.ts'

type Case = { caption: string; trigger: string | null; becomes: string; why: string }

/** The trainers' tests read it too. */
const table = new URL('../trainers/trigger_words.json', import.meta.url)
const cases = JSON.parse(readFileSync(table, 'utf8')) as readonly Case[]

test.each(cases)('$caption with $trigger becomes $becomes: $why', ({ caption, trigger, becomes }) => {
  expect(withTrigger(caption, trigger)).toBe(becomes)
})

test('a word of 64 characters is granted, one more is refused and not shortened', () => {
  expect(checkTriggerWord(` ${'k'.repeat(64)}\n`)).toBe('k'.repeat(64))
  expect(checkTriggerWord(' \n')).toBeNull()
  expect(checkTriggerWord(undefined)).toBeNull()
  expect(() => checkTriggerWord('k'.repeat(65))).toThrow(
    'triggerWord has 65 characters, but may have at most 64',
  )
})
