/**
 * `npm run check`: format, lint, types, dead code, settings and the unit tests, side by side. Only
 * what fails is shown in full.
 */
import { mkdir } from 'node:fs/promises'
import { execa } from 'execa'
import { duration } from '../local/setup/progress.ts'
import { commandLine } from '../src/command-line.ts'
import { atLeastOneFailed, type Count, nothing, sum } from './counting.ts'
import { runVitest } from './vitest.ts'

/** What the checks keep from one run to the next; npm removes it with the packages that it depends on. */
const kept = 'node_modules/.cache/bellows'

const checks: Readonly<Record<string, readonly string[]>> = {
  'format and lint': ['biome', 'ci', '--error-on-warnings', '--colors=off', '.'],
  types: ['tsc', '--incremental', '--tsBuildInfoFile', `${kept}/tsc.json`],
  'dead code': ['knip', '--cache', '--cache-location', `${kept}/knip`],
  settings: ['node', 'tools/settings.ts', '--check'],
}

/** The unit tests count as they are; another check counts only when it fails, as one. */
export async function check(): Promise<Count> {
  await mkdir(kept, { recursive: true })
  const unitTests = timed('unit tests', async () => {
    const { count, output } = await runVitest(['unit'])
    return { count, output }
  })
  const others = Object.entries(checks).map(([name, command]) => timed(name, () => runCheck(command)))
  return sum(await Promise.all([unitTests, ...others]))
}

async function timed(name: string, run: () => Promise<{ count: Count; output: string }>): Promise<Count> {
  const started = performance.now()
  const { count, output } = await run()
  const passed = duration(performance.now() - started)
  if (count.failed > 0) console.error(`${output.trimEnd()}\n✗ ${name} (${passed})`)
  else console.error(`✓ ${name} (${passed})`)
  return count
}

async function runCheck([file = '', ...args]: readonly string[]): Promise<{ count: Count; output: string }> {
  const result = await execa(file, args, { reject: false, all: true, preferLocal: true, stdin: 'ignore' })
  return { count: atLeastOneFailed(nothing, result.failed), output: result.all || (result.message ?? '') }
}

if (import.meta.main) {
  commandLine('npm run check --', 'Format, lint, types, dead code, settings and the unit tests.').parse()
  const { failed } = await check()
  process.exitCode = failed > 0 ? 1 : 0
}
