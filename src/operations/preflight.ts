/**
 * What a worker can't do without, tried before it takes a job, and again while it is taken for broken: Pulumi's command and
 * its provider, a temporary folder with room, the database. Nothing is left behind.
 */
import { rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { makeTemporaryFolder } from '../temporary-folder.ts'
import { cut } from '../text.ts'
import { installProvider, type ProviderPlugin } from './provider-plugin.ts'

export type PreflightParts = {
  /** Pulumi's command, as the setting names it. */
  readonly pulumi: string
  /** Undefined where providers run already, and Pulumi attaches to them. */
  readonly provider?: ProviderPlugin | undefined
  readonly temporaryFolder: string
  /** Asks the database anything. */
  readonly database: () => Promise<unknown>
  /** Free space that must be there, in bytes. Default: 1 GiB, what a large dataset takes while it is packed. */
  readonly leastFreeBytes?: number
  /** How long each of them may take, in milliseconds, but for a download of the provider. Default: 40,000; a database that is away is noticed after 30,000. */
  readonly limitMs?: number
}

/** What is wrong, as sentences for an operator; none: nothing is. */
export async function preflight(parts: PreflightParts): Promise<readonly string[]> {
  const { limitMs = 40_000 } = parts
  const problems = await Promise.all([
    checkEngine(parts, limitMs),
    inTime(checkFolder(parts), 'The temporary folder', limitMs),
    inTime(checkDatabase(parts.database), 'The database', limitMs),
  ])
  return problems.filter((problem) => problem !== undefined)
}

type Problem = Promise<string | undefined>

async function checkEngine({ pulumi, provider }: PreflightParts, limitMs: number): Problem {
  const problem = await inTime(checkPulumi(pulumi, limitMs), 'Pulumi’s command', limitMs)
  return problem ?? (provider && installProvider(pulumi, provider))
}

async function checkPulumi(command: string, limitMs: number): Problem {
  const { stdout, failed, originalMessage, shortMessage } = await execa(command, ['version'], {
    reject: false,
    stdin: 'ignore',
    timeout: limitMs,
    killSignal: 'SIGKILL',
    env: { PULUMI_SKIP_UPDATE_CHECK: 'true' },
  })
  if (!failed && /^v?\d+\.\d+\.\d+/.test(stdout)) return undefined
  const cause = failed ? originalMessage || shortMessage : `it says "${cut(stdout, 80)}"`
  return `Pulumi's command "${command}" does not run (PULUMI_COMMAND): ${cause}`
}

async function checkFolder({
  temporaryFolder: root,
  leastFreeBytes = 2 ** 30,
}: Pick<PreflightParts, 'temporaryFolder' | 'leastFreeBytes'>): Problem {
  try {
    const folder = await makeTemporaryFolder('probe', root)
    try {
      await writeFile(join(folder, 'probe'), Buffer.alloc(2 ** 20))
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
    const { bavail, bsize } = await statfs(root)
    if (bavail * bsize >= leastFreeBytes) return undefined
    return `The temporary folder ${root} has ${mebibytes(bavail * bsize)} left, and ${mebibytes(leastFreeBytes)} are needed (TMPDIR)`
  } catch (error) {
    return `The temporary folder ${root} can't be written (TMPDIR): ${(error as Error).message}`
  }
}

async function checkDatabase(ask: () => Promise<unknown>): Problem {
  try {
    await ask()
    return undefined
  } catch (error) {
    return `The database does not answer (MONGODB_URL): ${(error as Error).message}`
  }
}

async function inTime(check: Problem, what: string, limitMs: number): Problem {
  const over = Promise.withResolvers<string>()
  const timer = setTimeout(() => over.resolve(`${what} has not answered within ${limitMs / 1000} s`), limitMs)
  return Promise.race([check, over.promise]).finally(() => clearTimeout(timer))
}

const mebibytes = (bytes: number) => `${Math.floor(bytes / 2 ** 20)} MiB`
