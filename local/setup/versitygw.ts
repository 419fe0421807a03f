/** The S3 server: versitygw over a folder of plain files. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cached } from './cache.ts'
import { run } from './command.ts'
import { download } from './download.ts'
import { firstThatWorks } from './fallbacks.ts'
import { buildGoProgram } from './go.ts'
import { forThisProcessor, type SetupFolder } from './place.ts'
import type { Work } from './tasks.ts'

const version = '1.8.0'

const releases = {
  x64: { name: 'x86_64', sha256: '2ba2c734d10d2c4e651d03182cb4b246656bc735a2f282db7b0b73fba6073467' },
  arm64: { name: 'arm64', sha256: 'b34051d33f5a9c457f790896acb7bd7d7e15ad8d92efb70616b924f37e401910' },
} as const

/** The server's path. */
export async function versitygw(place: SetupFolder, { say, heavy }: Work): Promise<string> {
  const module = 'github.com/versity/versitygw'
  const ways = [
    {
      doing: 'downloading the release',
      hosts: ['https://github.com'],
      make: (folder: string) => downloadRelease(folder, place),
    },
    {
      doing: 'building it from its Go module',
      make: (folder: string) =>
        heavy(() =>
          buildGoProgram(
            { modules: { [module]: `v${version}` }, package: `${module}/cmd/versitygw` },
            join(folder, 'versitygw'),
            place,
          ),
        ),
    },
  ]
  const entry = await cached(
    place.cache,
    `versitygw-${version}`,
    (folder) => firstThatWorks(ways, folder, say),
    () => say('another set-up makes it'),
  )
  return join(entry, 'versitygw')
}

async function downloadRelease(folder: string, place: SetupFolder): Promise<void> {
  const { name, sha256 } = forThisProcessor(releases)
  const file = join(folder, 'versitygw.tar.gz')
  const archive = `versitygw_v${version}_Linux_${name}`
  await download(
    `https://github.com/versity/versitygw/releases/download/v${version}/${archive}.tar.gz`,
    file,
    sha256,
  )
  await run(['tar', '-xzf', file, '--strip-components=1', '-C', folder], { log: place.log('versitygw') })
  await rm(file)
}
