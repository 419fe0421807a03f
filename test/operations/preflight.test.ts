import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
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

const provider = () => ({
  pulumiHome: join(folder, 'home'),
  network: { HTTPS_PROXY: 'http://proxy.example:3128' },
})

/** Answers `version` as Pulumi does, has no plugin, and does the rest by a script. */
const withPlugins = (name: string, script: string) =>
  command(
    name,
    `[ "$1" = version ] && { echo v3.250.0; exit; }\n[ "$2" = ls ] && { echo '[]'; exit; }\n${script}`,
  )

test('the plugin of the AWS provider is installed, in the version that the program asks for', async () => {
  const pulumi = await withPlugins('installs', `{ echo "$@"; env; } > ${join(folder, 'asked')}`)
  process.env.BELLOWS_TEST_CANARY = 'must not be handed down'
  expect(await preflight({ ...parts, pulumi, provider: provider() })).toEqual([])
  const [argv, ...environment] = (await readFile(join(folder, 'asked'), 'utf8')).split('\n')
  const { dependencies } = JSON.parse(
    await readFile(join(import.meta.dirname, '../../package.json'), 'utf8'),
  ) as { dependencies: Record<string, string> }
  expect(argv).toMatch(`plugin install resource aws ${dependencies['@pulumi/aws']} --exact`)
  expect(environment).toContain(`PULUMI_HOME=${join(folder, 'home')}`)
  expect(environment).toContain('HTTPS_PROXY=http://proxy.example:3128')
  expect(environment.join()).not.toContain('CANARY')
})

test('a missing plugin is reported with what was in the way; without Pulumi none is asked for', async () => {
  const refusal =
    'echo "warning: Error downloading plugin: Get \\"https://get.pulumi.com/x\\": no such host" >&2'
  const pulumi = await withPlugins('refuses', `${refusal}; echo "error: failed all 5 attempts" >&2; exit 1`)
  const problems = await preflight({ ...parts, pulumi, provider: provider() })
  expect(problems.join()).toMatch(
    /^The plugin of the AWS provider, [\d.]+, can't be installed into .*home \(PULUMI_HOME\): Error downloading plugin: Get "https:\/\/get\.pulumi\.com\/x": no such host$/,
  )
  const slow = await withPlugins('slow', 'exec sleep 1000')
  expect(
    (await preflight({ ...parts, pulumi: slow, provider: { ...provider(), limitMs: 300 } })).join(),
  ).toMatch(/can't be installed into .*: it took longer than 0\.3 s$/)
  expect(await preflight({ ...parts, pulumi: '/nowhere/pulumi', provider: provider() })).toEqual([
    expect.stringMatching(/^Pulumi's command "\/nowhere\/pulumi" does not run/),
  ])
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
