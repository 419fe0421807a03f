/**
 * The trainers' own tests, in Python: each family's in its own image with pytest added, shut in as strictly as a machine
 * shuts in a training.
 */
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { type Family, families } from '../src/family.ts'
import { atLeastOneFailed, type Count, countPytest, nothing, sum } from './counting.ts'

const tests = fileURLToPath(new URL('../test/trainers', import.meta.url))

/** Fewer means that tests were lost, not that they passed. */
const fewestTests = 50

const runLimitMs = 10 * 60_000

/** @param images Tags of the trainers' images; a family without one fails */
export async function runTrainerTests(images: Readonly<Partial<Record<Family, string>>>): Promise<Count> {
  const counts: Count[] = []
  for (const family of families) counts.push(await runFamily(family, images[family]))
  return sum(counts)
}

async function runFamily(family: Family, image: string | undefined): Promise<Count> {
  if (!image) return failure(`There is no image of the ${family} trainer.`)
  const tag = image.replace(':', '-tests:')
  const build = await execa('docker', buildArguments(image, tag), { reject: false, all: true })
  if (build.failed) return failure(build.all)
  const run = await execa('docker', runArguments(family, tag), {
    reject: false,
    timeout: runLimitMs,
    all: true,
  })
  const count = countPytest(run.all ?? '')
  console.log(`\nThe ${family} trainer's tests\n${run.all ?? run.message}`)
  const tooFew = count.passed + count.failed < fewestTests
  if (tooFew) console.log(`Only ${count.passed + count.failed} tests of at least ${fewestTests} were run.`)
  return atLeastOneFailed(count, run.failed || tooFew)
}

function failure(reason: string | undefined): Count {
  console.log(reason)
  return { ...nothing, failed: 1 }
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
