/** The real engine over a folder of its own, for tests. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { pulumiStacks, type StacksOptions } from '../../src/cloud/pulumi/stacks.ts'
import { Secret } from '../../src/secret.ts'
import { devEnvironment } from '../support/dev-environment.ts'

export const componentProgram = new URL('./programs/component.ts', import.meta.url)

export function engine(change: Partial<StacksOptions> = {}) {
  const folder = mkdtempSync(path.join(tmpdir(), 'bellows-engine-'))
  const state = path.join(folder, 'state')
  const temporary = path.join(folder, 'temporary')
  mkdirSync(state)
  const options: StacksOptions = {
    pulumi: devEnvironment.pulumi,
    pulumiHome: path.join(devEnvironment.cache, 'pulumi-home'),
    backendUrl: pathToFileURL(state).href,
    passphrase: new Secret('a passphrase for tests'),
    project: 'bellows-machines-test',
    temporaryFolder: temporary,
    program: componentProgram,
    ...change,
  }
  return {
    options,
    stacks: pulumiStacks(options),
    /** Folders of operations that were not removed. */
    leftovers: () => readdirSync(temporary),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  }
}
