/**
 * `npm run faults`: the whole fault kit, as a table of promises, and what it measured. `-- --crash`,
 * `-- --schedules 10000 --seed 7` and `-- --real` run a part of it; `-- --crash --real` kills a real worker at every
 * point that it has, which takes an hour or two.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { z } from 'zod'
import { duration } from '../local/setup/progress.ts'
import { commandLine } from '../src/command-line.ts'
import { figuresSchema, summed } from './fault-figures.ts'

const values = commandLine(
  'npm run faults --',
  'Run the fault kit: a table of promises, and what it measured. Without options: everything.',
)
  .option(
    '--crash',
    'the crash points in memory; with --real: a real worker killed at each of its own (an hour or two)',
  )
  .option('--real', 'the part on real processes, machines and the real engine')
  .option('--schedules <count>', 'so many random schedules')
  .option('--seed <number>', 'the first of their seeds', '1')
  .parse()
  .opts<{ crash?: boolean; real?: boolean; schedules?: string; seed: string }>()
const everyRealPoint = values.crash && values.real
const everything = !values.crash && !values.real && !values.schedules

const chosen = [
  ...(everyRealPoint ? ['test/faults/real-crash'] : []),
  ...(values.crash && !values.real ? ['test/faults/crash.test.ts'] : []),
  ...(values.real && !values.crash ? ['test/faults/real'] : []),
  ...(everything ? ['test/faults'] : []),
]

/** `npm test` makes do with less. */
const sizes = {
  FAULTS_SEED: values.seed,
  FAULTS_LONG: 'true',
  FAULTS_JOBS: '50',
  FAULTS_CRASHES: everyRealPoint ? 'all' : '24',
}

/** Schedules in one process: the worlds of its killed workers stay in its memory, about 0.3 MB each. */
const schedulesAtOnce = 1000

const reportSchema = z.object({
  testResults: z.array(
    z.object({
      assertionResults: z.array(
        z.object({
          fullName: z.string(),
          status: z.string(),
          duration: z.number().nullish(),
          meta: z.object({ figures: figuresSchema.optional() }).optional(),
        }),
      ),
    }),
  ),
})

type Row = z.infer<typeof reportSchema>['testResults'][number]['assertionResults'][number]

const folder = await mkdtemp(join(tmpdir(), 'bellows-faults-'))
try {
  const rows: Row[] = []
  if (chosen.length > 0) rows.push(...(await runTests(chosen, sizes)))
  const seeds = { first: Number(values.seed), count: Number(values.schedules ?? 0) }
  for (let done = 0; done < seeds.count; done += schedulesAtOnce) {
    const count = Math.min(schedulesAtOnce, seeds.count - done)
    const part = { FAULTS_SEED: String(seeds.first + done), FAULTS_SCHEDULES: String(count) }
    rows.push(...(await runTests(['test/faults/schedules.test.ts'], part)))
  }
  console.log('\n| promise | kept | took |\n| --- | --- | --- |')
  for (const { fullName, status, duration: took } of rows) {
    const kept = { passed: 'yes', skipped: 'not tried' }[status] ?? '**no**'
    console.log(`| ${fullName.trim()} | ${kept} | ${duration(took ?? 0)} |`)
  }
  console.log('\n| measured | |\n| --- | --- |')
  for (const [label, value] of summed(rows.flatMap(({ meta }) => meta?.figures ?? []))) {
    console.log(`| ${label} | ${value} |`)
  }
} finally {
  await rm(folder, { recursive: true, force: true })
}

/** What each test came to; a run that fails makes this process fail. */
async function runTests(
  files: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<readonly Row[]> {
  const file = join(folder, 'report.json')
  const { failed } = await execa(
    'vitest',
    ['run', ...files, '--reporter', 'default', '--reporter', 'json', `--outputFile.json=${file}`],
    { preferLocal: true, reject: false, stdio: 'inherit', env: environment },
  )
  if (failed) process.exitCode = 1
  const report = reportSchema.parse(JSON.parse(await readFile(file, 'utf8')))
  return report.testResults.flatMap(({ assertionResults }) => assertionResults)
}
