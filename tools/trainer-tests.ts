/**
 * The trainers' own tests, in Python: each family's in its own image, with pytest added. They run as they are in the
 * checkout, without a network.
 */
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { type Family, families } from '../src/recipes/plan.ts'
import { atLeastOneFailed, type Count, countPytest, nothing, sum } from './counting.ts'

const tests = fileURLToPath(new URL('../test/trainers', import.meta.url))

/** @param images Tags of the trainers' images */
export async function runTrainerTests(images: Readonly<Partial<Record<Family, string>>>): Promise<Count> {
  const counts: Count[] = []
  for (const family of families) {
    const image = images[family]
    if (image) counts.push(await runFamily(family, image))
    else console.error(`There is no image of the ${family} trainer: its tests fail.`)
    if (!image) counts.push({ ...nothing, failed: 1 })
  }
  return sum(counts)
}

async function runFamily(family: Family, image: string): Promise<Count> {
  console.error(`\nThe ${family} trainer's tests`)
  const tag = `bellows/test-${image.split('/').at(-1)}`
  const build = await execa('docker', buildArguments(image, tag), { reject: false, all: true })
  if (build.failed) {
    console.error(build.all)
    return { ...nothing, failed: 1 }
  }
  const result = await execa('docker', runArguments(family, tag), {
    reject: false,
    all: true,
    stdout: ['pipe', 'inherit'],
    stderr: ['pipe', 'inherit'],
  })
  return atLeastOneFailed(countPytest(result.all ?? ''), result.failed)
}

function buildArguments(image: string, tag: string): readonly string[] {
  return ['build', '--quiet', '--network', 'host', '--build-arg', `IMAGE=${image}`, '--tag', tag, tests]
}

export function runArguments(family: Family, tag: string): readonly string[] {
  return [
    'run',
    ...['--rm', '--network', 'none', '--init', '--env', `TRAINER_FAMILY=${family.toLowerCase()}`],
    ...['--volume', `${tests}:/tests:ro`, '--workdir', '/tests'],
    ...[tag, '-q', '--color=no', '-p', 'no:cacheprovider', '--basetemp', '/tmp/tests', '/tests'],
  ]
}
