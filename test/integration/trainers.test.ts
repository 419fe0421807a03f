/** The trainers' own tests (pytest, `test/trainers/`), run in each family's image as strictly as a machine runs it. */
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { families } from '../../src/recipes/plan.ts'
import { docker } from './machine.ts'

const project = join(import.meta.dirname, '../..')
const tests = join(project, 'test/trainers')

/** From nothing, an image takes minutes; here the set-up has built its layers already. */
const buildLimit = 900_000
const runLimit = 420_000

/** Fewer means that tests were lost, not that they passed. */
const fewestTests = 50

describe.sequential('the trainer of', () => {
  it.each(families)(
    '%s trains, stops, goes on and refuses as its tests say',
    async (family) => {
      const image = await testImage(family.toLowerCase())
      const report = await docker(
        ...['run', '--rm', '--network', 'none', '--read-only', '--cap-drop', 'ALL', '--memory', '6g'],
        ...['--security-opt', 'no-new-privileges', '--pids-limit', '512'],
        ...['--tmpfs', '/tmp:rw,exec,size=3g', '--tmpfs', '/small:rw,size=1m,mode=1777'],
        ...['--env', 'HOME=/tmp', '--env', `TRAINER_FAMILY=${family.toLowerCase()}`, image],
      ).catch((error: { stdout?: string }) => error.stdout ?? String(error))

      const last = report.trim().split('\n').at(-1) ?? ''
      expect(last, report).toMatch(/\d+ passed in /)
      expect(last, report).not.toMatch(/failed|error/)
      expect(Number(/(\d+) passed/.exec(last)?.[1])).toBeGreaterThanOrEqual(fewestTests)
    },
    buildLimit + runLimit,
  )
})

async function testImage(family: string): Promise<string> {
  const trainer = `bellows/trainer-${family}:test`
  const image = `bellows/trainer-${family}-tests:test`
  const network = ['build', '--quiet', '--network', 'host']
  const images = join(project, 'images')
  await docker(
    ...[...network, '--build-arg', 'BASE=bellows/base:trixie', '--build-arg', 'DEVICE=cpu', '--tag', trainer],
    ...['--file', join(images, family, 'Dockerfile'), images],
  )
  await docker(...network, '--build-arg', `IMAGE=${trainer}`, '--tag', image, tests)
  return image
}
