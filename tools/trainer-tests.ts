/**
 * The trainers' own tests, in Python: each family's in its own image with pytest added, shut in as strictly as a machine
 * shuts in a training.
 */
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { type Family, families } from '../src/recipes/plan.ts'
import { atLeastOneFailed, type Count, countPytest, nothing, sum } from './counting.ts'
import type { TestRun } from './vitest.ts'

const tests = fileURLToPath(new URL('../test/trainers', import.meta.url))

/** Fewer means that tests were lost, not that they passed. */
const fewestTests = 50

const runLimitMs = 10 * 60_000

/** @param images Tags of the trainers' images; a family without one fails */
export async function runTrainerTests(images: Readonly<Partial<Record<Family, string>>>): Promise<TestRun> {
  const runs: TestRun[] = []
  for (const family of families) {
    const { count, output } = await runFamily(family, images[family])
    runs.push({ count, output: `\nThe ${family} trainer's tests\n${output}` })
  }
  return { count: sum(runs.map(({ count }) => count)), output: runs.map(({ output }) => output).join('\n') }
}

async function runFamily(family: Family, image: string | undefined): Promise<TestRun> {
  if (!image) return failure(`There is no image of the ${family} trainer.`)
  const tag = `bellows/trainer-${family.toLowerCase()}-tests:${image.split(':').at(-1)}`
  const build = await execa('docker', buildArguments(image, tag), { reject: false, all: true })
  if (build.failed) return failure(build.all)
  const run = await execa('docker', runArguments(family, tag), {
    reject: false,
    timeout: runLimitMs,
    all: true,
  })
  const output = run.all ?? ''
  const count = countPytest(output)
  if (count.passed + count.failed >= fewestTests)
    return { count: atLeastOneFailed(count, run.failed), output }
  return failure(`${output}\nFewer than ${fewestTests} tests were run.`, count)
}

function failure(output = '', count: Count = nothing): TestRun {
  return { count: atLeastOneFailed(count, true), output }
}

function buildArguments(image: string, tag: string): readonly string[] {
  return ['build', '--quiet', '--network', 'host', '--build-arg', `IMAGE=${image}`, '--tag', tag, tests]
}

function runArguments(family: Family, tag: string): readonly string[] {
  return [
    ...['run', '--rm', '--init', '--network', 'none', '--read-only', '--cap-drop', 'ALL', '--memory', '6g'],
    ...['--security-opt', 'no-new-privileges', '--pids-limit', '512'],
    ...['--tmpfs', '/tmp:rw,exec,size=3g', '--tmpfs', '/small:rw,size=1m,mode=1777'],
    ...['--env', 'HOME=/tmp', '--env', `TRAINER_FAMILY=${family.toLowerCase()}`, tag, '-q', '--color=no'],
  ]
}
