import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type PreflightParts, preflight } from '../../src/operations/preflight.ts'

let folder: string
let parts: PreflightParts

async function command(name: string, script: string): Promise<string> {
  const file = join(folder, name)
  await writeFile(file, `#!/bin/sh\n${script}\n`)
  await chmod(file, 0o755)
  return file
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bellows-test-'))
  const temporaryFolder = await mkdtemp(join(folder, 'tmp-'))
  const pulumi = await command('pulumi', '[ "$1" = version ] && echo v3.250.0')
  parts = { pulumi, temporaryFolder, database: async () => {}, leastFreeBytes: 1 }
})
afterAll(() => rm(folder, { recursive: true }))

test('where all is well it says nothing, and leaves nothing', async () => {
  expect(await preflight(parts)).toEqual([])
  expect(await readdir(parts.temporaryFolder)).toEqual([])
})

test('a command that is missing, fails, or is no Pulumi is named', async () => {
  const problemOf = async (pulumi: string) => (await preflight({ ...parts, pulumi })).join()
  expect(await problemOf('/nowhere/pulumi')).toMatch(
    /^Pulumi's command "\/nowhere\/pulumi" does not run \(PULUMI_COMMAND\): .*ENOENT/,
  )
  expect(await problemOf(await command('broken', 'exit 3'))).toMatch(/does not run .*exit code 3/)
  expect(await problemOf(await command('other', 'echo hello'))).toMatch(/does not run .*it says "hello"/)
})

test('a command that hangs is given up, and killed', async () => {
  const pulumi = await command('hangs', 'exec sleep 1000')
  expect((await preflight({ ...parts, pulumi, limitMs: 300 })).join()).toMatch(
    /does not run|has not answered within 0.3 s/,
  )
})

test('a temporary folder that can’t be written, or is full, is named', async () => {
  const file = await command('a-file', '')
  expect((await preflight({ ...parts, temporaryFolder: join(file, 'tmp') })).join()).toMatch(
    /^The temporary folder .*a-file\/tmp can't be written \(TMPDIR\): ENOTDIR/,
  )
  expect((await preflight({ ...parts, leastFreeBytes: 2 ** 60 })).join()).toMatch(
    /^The temporary folder .* has \d+ MiB left, and 1099511627776 MiB are needed \(TMPDIR\)$/,
  )
})

test('a database that refuses or never answers is named, beside all else that is wrong', async () => {
  const refuses = async () => Promise.reject(new Error('connect ECONNREFUSED 127.0.0.1:1'))
  const never = () => new Promise(() => {})
  expect(await preflight({ ...parts, database: refuses })).toEqual([
    'The database does not answer (MONGODB_URL): connect ECONNREFUSED 127.0.0.1:1',
  ])
  const problems = await preflight({ ...parts, pulumi: '/nowhere', database: never, limitMs: 200 })
  expect(problems).toHaveLength(2)
  expect(problems[1]).toBe('The database has not answered within 0.2 s')
})
