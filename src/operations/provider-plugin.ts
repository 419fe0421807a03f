/**
 * The plugin of the AWS provider, which Pulumi would download in the middle of the first orders, once for each of them at the
 * same time, and within their deadlines: some 200 MB.
 */
import { mkdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import manifest from '@pulumi/aws/package.json' with { type: 'json' }
import { execa } from 'execa'
import { z } from 'zod'
import type { HandedDown } from '../cloud/pulumi/handed-down.ts'

export type ProviderPlugin = {
  /** Below whose `plugins` it lies. */
  readonly pulumiHome: string
  /** Proxies and CA files. */
  readonly network: HandedDown
  /** For the download, in milliseconds. Default: 10 minutes. */
  readonly limitMs?: number
}

/** The version that infra/'s program asks for. */
const { version } = manifest

/** Downloads nothing where it is there. What is wrong is returned as a sentence for an operator. */
export async function installProvider(pulumi: string, plugin: ProviderPlugin): Promise<string | undefined> {
  const { pulumiHome, network, limitMs = 600_000 } = plugin
  const refused = (cause: string) =>
    `The plugin of the AWS provider, ${version}, can't be installed into ${pulumiHome} (PULUMI_HOME): ${cause}`
  try {
    await mkdir(pulumiHome, { recursive: true })
  } catch (error) {
    return refused((error as Error).message)
  }
  const run = execa({
    reject: false,
    all: true,
    stdin: 'ignore',
    timeout: limitMs,
    killSignal: 'SIGKILL',
    extendEnv: false,
    env: {
      PATH: process.env.PATH,
      HOME: homedir(),
      ...network,
      PULUMI_HOME: pulumiHome,
      PULUMI_SKIP_UPDATE_CHECK: 'true',
    },
  })
  // `install` asks Pulumi's registry even then: seven seconds where that can't be reached.
  if (isListed((await run(pulumi, ['plugin', 'ls', '--json'])).stdout)) return undefined
  const { failed, timedOut, all } = await run(pulumi, [
    ...['plugin', 'install', 'resource', 'aws', version],
    ...['--exact', '--non-interactive', '--color', 'never'],
  ])
  if (!failed) return undefined
  return refused(timedOut ? `it took longer than ${limitMs / 1000} s` : causeIn(all))
}

/** What was cut off while it was downloaded isn't. */
function isListed(json: string): boolean {
  try {
    const installed = listSchema.parse(JSON.parse(json))
    return installed.some((one) => one.name === 'aws' && one.version === version)
  } catch {
    return false // then `install` says what is wrong
  }
}

const listSchema = z.array(z.object({ name: z.string(), version: z.string().optional() }))

/** Before Pulumi's last word, which only counts the attempts, it has said what went wrong in each. */
function causeIn(said: string): string {
  const lines = said.split('\n').filter((line) => line.trim())
  const download = lines.findLast((line) => line.startsWith('warning: Error downloading plugin: '))
  return (download ?? lines.at(-1) ?? 'it said nothing').replace(/^(warning|error): /, '').trim()
}
