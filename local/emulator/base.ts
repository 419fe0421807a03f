/** The base of the local deployment: the real `infra/` program, by a plain `pulumi up` against the emulator. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { type BaseOutputs, parseOutputs } from '../../src/operations/stack-settings.ts'
import type { DevEnvironment } from '../setup/dev-environment.ts'

export type BaseStackOptions = {
  readonly devEnvironment: Pick<DevEnvironment, 'pulumi' | 'languageHost'>
  /** Where state and configuration are kept. */
  readonly directory: string
  readonly deployment: string
  readonly providerPort: number
}

export const localPassphrase = 'only-on-this-computer'
const stack = 'local'
const root = join(import.meta.dirname, '../..')

export type BaseStack = {
  readonly outputs: BaseOutputs
  /** Runs the Pulumi CLI on the base's stack. */
  pulumi(...argv: readonly string[]): Promise<{ readonly all: string }>
  /** With its buckets, which are protected until then. */
  destroy(): Promise<void>
}

export async function createBaseStack(options: BaseStackOptions): Promise<BaseStack> {
  const { devEnvironment, directory, deployment, providerPort } = options
  const node = join(root, 'node_modules/.bin')
  const project = await copyProject(directory)
  const run = (...argv: string[]) =>
    execa(devEnvironment.pulumi, [...argv, '--non-interactive', '--stack', stack, '--cwd', project], {
      env: {
        PATH: [
          node,
          devEnvironment.languageHost,
          '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        ].join(':'),
        HOME: directory,
        PULUMI_HOME: join(directory, 'pulumi'),
        PULUMI_BACKEND_URL: stateUrl(directory),
        PULUMI_CONFIG_PASSPHRASE: localPassphrase,
        PULUMI_SKIP_UPDATE_CHECK: 'true',
        PULUMI_DEBUG_PROVIDERS: `aws:${providerPort},cloudflare:${providerPort}`,
        TMPDIR: directory,
      },
      extendEnv: false,
      all: true,
    })
  await run('stack', 'init', '--no-select')
  const settings = {
    'aws:region': 'us-east-1',
    'bellows:deployment': deployment,
    'bellows:cloudflareAccountId': '0'.repeat(32),
  }
  for (const [key, value] of Object.entries(settings)) await run('config', 'set', key, value)
  await run('up', '--yes', '--skip-preview', '--suppress-progress')
  const { stdout } = await run('stack', 'output', '--json', '--show-secrets')
  return {
    outputs: parseOutputs(stdout),
    pulumi: run,
    async destroy() {
      await run('state', 'unprotect', '--all', '--yes')
      await run('destroy', '--yes', '--skip-preview', '--suppress-progress')
    },
  }
}

/** Pulumi writes a stack's settings beside Pulumi.yaml: the checkout stays as it is. */
async function copyProject(directory: string): Promise<string> {
  const project = join(directory, 'project')
  await mkdir(project)
  const text = await readFile(join(root, 'Pulumi.yaml'), 'utf8')
  await writeFile(
    join(project, 'Pulumi.yaml'),
    text.replace(/^main: .*$/m, `main: ${join(root, 'infra/index.ts')}`),
  )
  return project
}

/** Where the local deployment's stacks keep their state. */
export function stateUrl(directory: string): string {
  return `file://${join(directory, 'state')}`
}
