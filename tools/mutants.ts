/**
 * `npm run mutants`: plants small faults in the code, one at a time, and tells which of them no test notices. The tests are
 * the quick ones: units, contracts, simulated deployments. Nothing in the working tree changes: the faults are planted on the
 * way into vitest.
 */
import { globSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { duration } from '../local/setup/progress.ts'
import { commandLine, positive } from '../src/command-line.ts'
import { candidates, outdated, reasonFor, sampled } from './mutants/choose.ts'
import { openSession } from './mutants/session.ts'
import { described, percent, rate, type Tried, table } from './mutants/table.ts'

/** Of what a test reaches. */
const aim = 0.85

const folders =
  '{pipeline,ledger,trainings,cloud,bases,recipes,models,storage,registries,remote,notify,operations}'
const everything = [
  `src/${folders}/**/*.ts`,
  'local/emulator/{ec2,provider}/**/*.ts',
  'test/fakes/{memory-*,simulated-machine}.ts',
]

const values = commandLine(
  'npm run mutants --',
  'Plant small faults, and tell which of them no test notices.',
)
  .option('--files <glob...>', 'where to plant them', everything)
  .option('--sample <count>', 'only so many, chosen by the seed', positive)
  .option('--seed <text>', 'what the sample is chosen by', '1')
  .option('--at-once <count>', 'test files at once while none is planted', positive, 1)
  .option('--units', 'without the simulated deployments of test/faults: quicker, and sees less')
  .option('--no-aim', `succeed below ${percent(aim)} too`)
  .parse()
  .opts<{ files: string[]; sample?: number; seed: string; atOnce: number; units?: boolean; aim: boolean }>()

const root = join(import.meta.dirname, '..')
const files = globSync(values.files, { cwd: root }).sort()
if (files.length === 0) throw new Error(`there is no file at ${values.files.join(', ')}`)
const all = candidates(root, files)
const stale = outdated(files, all)
for (const { file, original, mutant } of stale) {
  console.error(`✗ accepted.ts: ${file} has no ${original} → ${mutant || '(nothing)'} any more`)
}
const isAccepted = Map.groupBy(all, (mutant) => reasonFor(mutant) !== undefined)
const countable = isAccepted.get(false) ?? []
const chosen = values.sample ? sampled(countable, values.sample, values.seed) : countable
const tried = await tryAll()
const survivors = tried.filter(({ result }) => result === 'survived')

console.log(`\n${table(tried)}`)
const lists = { Survived: survivors, Unreached: tried.filter(({ result }) => result === 'unreached') }
for (const [name, list] of Object.entries(lists)) {
  if (list.length > 0)
    console.log(`\n${name}:\n\n${list.map((mutant) => `* ${described(mutant)}`).join('\n')}`)
}
const left = isAccepted.get(true) ?? []
if (left.length > 0) {
  console.log(
    `\nAccepted:\n\n${left.map((mutant) => `* ${described(mutant)}: ${reasonFor(mutant)}`).join('\n')}`,
  )
}
const isBelow = rate(tried) < aim
if (isBelow) console.log(`\nBelow the aim: ${percent(rate(tried))} of ${percent(aim)}`)
process.exitCode = stale.length > 0 || (values.aim && isBelow) ? 1 : 0

async function tryAll(): Promise<readonly Tried[]> {
  const folder = await mkdtemp(join(tmpdir(), 'bellows-mutants-'))
  const byFile = Map.groupBy(chosen, ({ file }) => join(root, file))
  const session = await openSession({
    ...{ root, mutants: byFile, folder, atOnce: values.atOnce, unitsOnly: values.units ?? false },
  })
  try {
    const started = performance.now()
    const tests = await session.measure(new Set(byFile.keys()))
    const took = duration(performance.now() - started)
    console.error(`${chosen.length} of ${all.length} mutants; ${tests.length} tests, ${took} without any`)
    const results: Tried[] = []
    for (const mutant of chosen) {
      const result = await session.resultOf(mutant, tests)
      results.push({ ...mutant, result })
      const sign = { noticed: '✓', survived: '✗', unreached: '–' }[result]
      console.error(`${sign} ${results.length}/${chosen.length} ${described(mutant)}`)
    }
    return results.sort((one, other) => one.id - other.id)
  } finally {
    await session.close()
    await rm(folder, { recursive: true, force: true })
  }
}
