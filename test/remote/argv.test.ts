import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { quote, runTrainer } from '../../src/remote/argv.ts'

test('a shell reads back exactly the arguments that were quoted', () => {
  const word = fc.string({ unit: 'binary', maxLength: 30 }).filter((text) => !/\0|\p{Cs}/u.test(text))
  const lists = fc.sample(fc.array(word, { minLength: 1, maxLength: 5 }), { numRuns: 200, seed: 7 })
  const script = lists.map((list) => quote(['printf', '%s\\0', ...list])).join('\n')
  const read = execFileSync('sh', ['-c', script], { encoding: 'utf8' }).split('\0').slice(0, -1)
  expect(read).toEqual(lists.flat())
})

test('a NUL byte cannot be an argument, and is refused rather than cut off', () => {
  expect(() => quote(['rm', 'a\0b'])).toThrow('NUL')
})

const container = { name: 'a', image: 'image', memoryBytes: 2 ** 30, gpu: true, environment: { A: '1' } }

test('the trainer gets no network, no privilege and bounded resources', () => {
  const words = runTrainer(container).join(' ')
  for (const flag of [
    '--network none',
    '--read-only',
    '--cap-drop ALL',
    '--security-opt no-new-privileges',
    '--memory 1073741824',
    '--pids-limit 4096',
    '--user 1000:1000',
    '--gpus all',
    '--env A=1',
  ])
    expect(words).toContain(flag)
  expect(words).not.toMatch(/--privileged|docker\.sock|--publish|--restart/)
  expect(words.endsWith(' image')).toBe(true)
})

test('a trainer without a GPU asks for none', () => {
  expect(runTrainer({ ...container, gpu: false })).not.toContain('--gpus')
})
