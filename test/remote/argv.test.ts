import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import * as argv from '../../src/remote/argv.ts'
import { quote } from '../../src/remote/argv.ts'

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

/** What the builders of this file take, by name; a new one that starts a container fails the count below. */
const samples = { runTrainer: argv.runTrainer(container), probeGpu: argv.probeGpu('image') } as const

test.each(Object.entries(samples))(
  '%s gets no network, no privilege, no swap and bounded resources',
  (_, words) => {
    const text = words.join(' ')
    const memory = /--memory (\d+)/.exec(text)?.[1]
    for (const flag of [
      '--network none',
      '--read-only',
      '--cap-drop ALL',
      '--security-opt no-new-privileges',
      `--memory-swap ${memory}`,
      '--pids-limit 4096',
      '--user 10001:10001',
      '--pull never',
      '--gpus all',
    ])
      expect(text).toContain(flag)
    expect(Number(memory)).toBeLessThanOrEqual(2 ** 30)
    expect(text).not.toMatch(/--privileged|docker\.sock|--publish|--restart|--cap-add|--device/)
  },
)

test('no other command starts a container', () => {
  const source = readFileSync(new URL('../../src/remote/argv.ts', import.meta.url), 'utf8')
  expect(source.match(/docker\(\s*'run'/g)).toHaveLength(1)
  expect(source.match(/runContainer\(/g)).toHaveLength(Object.keys(samples).length)
  const commands = execFileSync('grep', ['-rlE', "'(run|create|exec)'", 'src/remote', '--include=*.ts'], {
    cwd: new URL('../..', import.meta.url),
    encoding: 'utf8',
  })
  expect(commands.trim()).toBe('src/remote/argv.ts')
})

test('the trainer’s words are its own: memory, environment, and its image last', () => {
  const words = argv.runTrainer(container).join(' ')
  expect(words).toContain('--memory 1073741824')
  expect(words).toContain('--env A=1')
  expect(words.endsWith(' image')).toBe(true)
})

test('a trainer without a GPU asks for none', () => {
  expect(argv.runTrainer({ ...container, gpu: false })).not.toContain('--gpus')
})
