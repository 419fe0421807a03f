/**
 * `npm test`: gets what is missing, then runs the checks and the tests side by side: most of the time tests wait for machines. Its last line is
 * `N passed, N failed`, over all of them, and it fails when one does. Faults in whole deployments of real parts take as long as
 * everything else together: `-- --all` adds them, as `.ci/run` does.
 */
import { execa } from 'execa'
import { setUp } from '../local/setup/dev-environment.ts'
import { duration } from '../local/setup/progress.ts'
import { commandLine } from '../src/command-line.ts'
import { check } from './check.ts'
import { type Count, nothing, sum, verdict } from './counting.ts'
import { runTrainerTests } from './trainer-tests.ts'
import { runVitest } from './vitest.ts'

const { all } = commandLine('npm test --', 'Get what is missing, then run the checks and the tests.')
  .option('--all', 'and the faults that are staged in whole deployments of real parts')
  .parse()
  .opts<{ all?: boolean }>()
const started = performance.now()
const total = await testEverything().catch((error: Error): Count => {
  console.error(error.message)
  return { ...nothing, failed: 1 }
})
if (total.skipped > 0) console.log(`${total.skipped} skipped`)
if (!all) console.log('Left out: faults in whole deployments of real parts (npm test -- --all)')
console.log(`All of it took ${duration(performance.now() - started)}`)
console.log(verdict(total))
process.exitCode = total.failed > 0 ? 1 : 0

async function testEverything(): Promise<Count> {
  const { images } = await setUp()
  const quick = check().then(async (checked) => sum([checked, await tryMutants()]))
  const [checked, { count }, trainers] = await Promise.all([
    quick,
    runVitest(['faults', 'real', ...(all ? ['real-faults'] : [])], true),
    runTrainerTests(images.trainers),
  ])
  return sum([checked, count, trainers])
}

/** A sample of `npm run mutants` where money is counted, always the same one, as one test; shown only when it fails. */
async function tryMutants(): Promise<Count> {
  const files = [
    'src/ledger/{months,points,budget,ledger}.ts',
    'test/fakes/memory-{budget,ledger}.ts',
    'src/pipeline/{endings,limits}.ts',
    'src/trainings/cost.ts',
  ]
  const started = performance.now()
  const { failed, all } = await execa(
    'node',
    ['tools/mutants.ts', '--files', ...files, '--units', '--sample', '20'],
    { reject: false, preferLocal: true, stdin: 'ignore', all: true },
  )
  const took = duration(performance.now() - started)
  console.error(failed ? `${all}\n✗ mutants (${took})` : `✓ mutants (${took})`)
  return { ...nothing, passed: failed ? 0 : 1, failed: failed ? 1 : 0 }
}
