/** The whole product as a newcomer starts it: the demo checks its own receipt, and fails where something in it isn't true. */
import { expect, test } from 'vitest'
import { families } from '../../src/family.ts'
import { runProgram } from '../support/program.ts'

const demo = (...options: readonly string[]) => runProgram('local/demo.ts', ...options)

test('each family is trained from a job in the database to a model in ComfyUI, and nothing is left', async () => {
  const { exitCode, all } = await demo('--model', 'all')
  expect(exitCode, all).toBe(0)
  const lines = all.split('\n')
  const count = (text: RegExp) => lines.filter((line) => text.test(line)).length
  for (const family of families) expect(count(new RegExp(`^A job for ${family} is in trainingJobs`))).toBe(1)
  expect(count(/^ComfyUI {6}models\/loras\/\S+: the same$/)).toBeGreaterThanOrEqual(families.length)
  expect(count(/^training {5}60 steps, /)).toBe(families.length)
  expect(count(/^dataset {6}12 images and 1 clip$/)).toBe(1) // WAN's; the others leave it out
  expect(count(/^left {9}0 stacks, 0 machines, .* 0 scratch files$/)).toBe(families.length)
}, 900_000)

test('Ctrl-C in training takes everything down', async () => {
  const running = demo()
  running.stdout.on('data', (lines) => {
    if (/● staged/.test(String(lines))) running.kill('SIGINT')
  })
  const { exitCode, all } = await running
  expect(exitCode, all).toBe(130)
  expect(all).toContain('Interrupted; everything was taken down.')
})
