/**
 * `npm run faults`: the whole fault kit, as a table of promises. `-- --crash`, `-- --schedules 10000 --seed 7` and
 * `-- --real` run a part of it.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { execa } from 'execa'
import { z } from 'zod'
import { duration } from './setup/progress.ts'

const { values } = parseArgs({
  options: {
    crash: { type: 'boolean', default: false },
    real: { type: 'boolean', default: false },
    schedules: { type: 'string' },
    seed: { type: 'string', default: '1' },
  },
})

const chosen = [
  ...(values.crash ? ['test/faults/crash.test.ts'] : []),
  ...(values.schedules ? ['test/faults/schedules.test.ts'] : []),
  ...(values.real ? ['test/faults/real.test.ts'] : []),
]

const reportSchema = z.object({
  testResults: z.array(
    z.object({
      assertionResults: z.array(
        z.object({ title: z.string(), status: z.string(), duration: z.number().nullish() }),
      ),
    }),
  ),
})

const folder = await mkdtemp(join(tmpdir(), 'bellows-faults-'))
try {
  const file = join(folder, 'report.json')
  const files = chosen.length > 0 ? chosen : ['test/faults']
  const { failed } = await execa(
    'vitest',
    ['run', ...files, '--reporter', 'default', '--reporter', 'json', `--outputFile.json=${file}`],
    {
      preferLocal: true,
      reject: false,
      stdio: 'inherit',
      env: { FAULTS_SEED: values.seed, ...(values.schedules && { FAULTS_SCHEDULES: values.schedules }) },
    },
  )
  const report = reportSchema.parse(JSON.parse(await readFile(file, 'utf8')))
  const rows = report.testResults.flatMap(({ assertionResults }) => assertionResults)
  console.log('\n| promise | kept | took |\n| --- | --- | --- |')
  for (const { title, status, duration: took } of rows) {
    console.log(`| ${title} | ${status === 'passed' ? 'yes' : '**no**'} | ${duration(took ?? 0)} |`)
  }
  process.exitCode = failed ? 1 : 0
} finally {
  await rm(folder, { recursive: true, force: true })
}
