/**
 * Pulumi's engine, and its host for programs in Node. The version is that of `@pulumi/pulumi` in package.json
 * (3.256 is known to break state in R2). Pulumi publishes its checksums beside the release on GitHub and
 * the archives on a host of its own, so that neither alone can give us another program.
 */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cached } from './cache.ts'
import { run } from './command.ts'
import { download, downloadText } from './download.ts'
import { firstThatWorks } from './fallbacks.ts'
import { buildGoProgram } from './go.ts'
import { forThisProcessor, type SetupFolder } from './place.ts'
import type { Work } from './tasks.ts'

const version = '3.250.0'

/** The last version of the language host that is a Go module by itself; it works with the engine above. */
const languageHostVersion = '3.60.0'

const sdk = 'github.com/pulumi/pulumi/sdk/v3'
const engine = 'github.com/pulumi/pulumi/pkg/v3'

/** The command's path; the host for Node is in the same folder, where the engine looks for it. */
export async function pulumi(place: SetupFolder, { say, heavy }: Work): Promise<string> {
  const make = (folder: string) =>
    firstThatWorks(
      [
        {
          doing: 'downloading the release',
          hosts: ['https://get.pulumi.com', 'https://github.com'],
          make: (into) => downloadRelease(into, place),
        },
        {
          doing: 'building it from its Go modules',
          make: (into) => heavy(() => buildPulumi(join(into, 'bin'), place)),
        },
      ],
      folder,
      say,
    )
  return join(
    await cached(place.cache, `pulumi-${version}`, make, () => say('another set-up makes it')),
    'bin',
    'pulumi',
  )
}

async function downloadRelease(folder: string, place: SetupFolder): Promise<void> {
  const archive = `pulumi-v${version}-linux-${forThisProcessor({ x64: 'x64', arm64: 'arm64' })}.tar.gz`
  const release = `https://github.com/pulumi/pulumi/releases/download/v${version}`
  const sha256 = checksumOf(archive, await downloadText(`${release}/pulumi-${version}-checksums.txt`))
  const file = join(folder, archive)
  await download(`https://get.pulumi.com/releases/sdk/${archive}`, file, sha256)
  await mkdir(join(folder, 'bin'))
  await run(['tar', '-xzf', file, '--strip-components=1', '-C', join(folder, 'bin')], {
    log: place.log('pulumi'),
  })
  await rm(file)
}

/** A file's sha256 out of a list as `sha256sum` prints it. */
export function checksumOf(name: string, list: string): string {
  for (const line of list.split('\n')) {
    const [sha256, file] = line.trim().split(/\s+\*?/)
    if (file === name && sha256 && /^[0-9a-f]{64}$/.test(sha256)) return sha256
  }
  throw new Error(`the list of checksums has no line for ${name}`)
}

async function buildPulumi(folder: string, place: SetupFolder): Promise<void> {
  const host = {
    modules: { [sdk]: `v${languageHostVersion}` },
    package: `${sdk}/nodejs/cmd/pulumi-language-nodejs`,
    variables: { [`${sdk}/go/common/version.Version`]: `v${languageHostVersion}` },
  }
  const command = {
    modules: { [engine]: `v${version}`, [sdk]: `v${version}` },
    package: `${engine}/cmd/pulumi`,
    variables: { [`${sdk}/go/common/version.Version`]: `v${version}` },
  }
  await buildGoProgram(host, join(folder, 'pulumi-language-nodejs'), place)
  await buildGoProgram(command, join(folder, 'pulumi'), place)
}
