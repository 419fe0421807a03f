/** Runs vitest's projects and counts their tests from its JSON report. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { atLeastOneFailed, type Count, countVitest, nothing } from './counting.ts'

export type TestRun = { readonly count: Count; readonly output: string }

/** `live` shows the tests as they end; otherwise what vitest prints is only returned. */
export async function runVitest(projects: readonly string[], live = false): Promise<TestRun> {
  const folder = await mkdtemp(join(tmpdir(), 'bellows-tests-'))
  const file = join(folder, 'report.json')
  try {
    const options = ['--reporter', 'default', '--reporter', 'json', `--outputFile.json=${file}`]
    const result = await execa(
      'vitest',
      ['run', ...projects.flatMap((name) => ['--project', name]), ...options],
      {
        reject: false,
        preferLocal: true,
        stdin: 'ignore',
        all: true,
        stdout: live ? ['pipe', 'inherit'] : 'pipe',
        stderr: live ? ['pipe', 'inherit'] : 'pipe',
        env: { FORCE_COLOR: process.stdout.isTTY ? '1' : '0' },
      },
    )
    const report = await readFile(file, 'utf8').catch(() => undefined)
    const count = report === undefined ? nothing : countVitest(JSON.parse(report))
    return { count: atLeastOneFailed(count, result.failed), output: result.all ?? '' }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
