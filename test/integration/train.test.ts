/** `npm run train`: the trainer without the pipeline, as a user who tunes a recipe starts it. */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { devEnvironment } from '../support/dev-environment.ts'
import { runProgram } from '../support/program.ts'

const train = (...options: readonly string[]) => runProgram('local/train.ts', ...options)

test('a folder of images and captions becomes a LoRA that the gate lets pass, with the plan beside it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bellows-train-test-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const [data, out] = [join(folder, 'data'), join(folder, 'out')]
  await mkdir(data)
  for (const number of [1, 2, 3]) {
    await cp(join(devEnvironment.photographs, `${number}.jpg`), join(data, `${number}.jpg`))
    await writeFile(join(data, `${number}.txt`), 'a redkite over a hill')
  }
  const { exitCode, all } = await train(
    ...['--model', 'flux', '--data', data, '--out', out, '--trigger', 'redkite'],
    ...['--set', 'steps=12', '--set', 'rank=8', '--set', 'samplePrompts=["redkite"]'],
  )
  expect(exitCode, all).toBe(0)
  const plan = JSON.parse(await readFile(join(out, 'plan.json'), 'utf8'))
  expect(plan).toMatchObject({ family: 'FLUX', steps: 12, triggerWord: 'redkite', adapter: { rank: 8 } })
  expect(all).toMatch(/^12 steps in [\d.]+ s, final loss [\d.]+$/m)
  const result = JSON.parse(await readFile(join(out, 'result.json'), 'utf8'))
  expect(result.samples).toHaveLength(1)
  expect(result.files.map(({ name }: { name: string }) => name)).toEqual([`${plan.name}.safetensors`])
})

test('what is missing or unknown is said, with what there is', async () => {
  const [noData, noModel, noWish] = await Promise.all([
    train('--model', 'SDXL'),
    train('--model', 'SD3', '--data', '.', '--out', '.'),
    train('--model', 'SDXL', '--data', devEnvironment.photographs, '--out', '.', '--set', 'rank=0'),
  ])
  expect(noData.all).toMatch(/required option '--data <folder>' not specified/)
  expect(noModel.all).toMatch(/'SD3' is invalid. It must be one of SDXL, FLUX, WAN\./)
  expect(noWish.all).toContain('rank is 0, but must be a whole number from 1 to 128')
  expect([noData.exitCode, noModel.exitCode, noWish.exitCode]).toEqual([1, 1, 1])
})
