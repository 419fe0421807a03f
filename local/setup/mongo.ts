/**
 * The database: one that runs already (`MONGODB_URL`), MongoDB's own server, or secantus, which speaks MongoDB's
 * protocol over WiredTiger and has transactions and change streams. Secantus is GPL: a process beside us, never linked.
 */
import { existsSync } from 'node:fs'
import { copyFile, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cached } from './cache.ts'
import { ask, run } from './command.ts'
import { reachable } from './download.ts'
import type { SetupFolder } from './place.ts'
import { findCargo, needCompilers } from './rust.ts'
import type { Work } from './tasks.ts'

const mongodbVersion = '8.2.6'
const secantusVersion = '0.5.3-beta.193'

export type Mongo = {
  /** A server that runs already. */
  readonly url?: string
  /** A server to start, where there is no `url`. */
  readonly binary?: string
}

export async function mongo(place: SetupFolder, work: Work): Promise<Mongo> {
  const url = process.env.MONGODB_URL
  if (url) return { url }
  const downloaded = join(place.cache, `mongodb-${mongodbVersion}`, 'mongod')
  if (existsSync(downloaded)) return { binary: downloaded }
  const built = join(place.cache, `secantus-${secantusVersion}`, 'bin', 'secantusd-rs')
  if (existsSync(built)) return { binary: built }
  if ((await ask(['mongod', '--version'])) !== undefined) return { binary: 'mongod' }

  if (await reachable('https://fastdl.mongodb.org')) {
    work.say('downloading MongoDB')
    const folder = await downloadMongodb(place).catch(() => undefined)
    if (folder) return { binary: join(folder, 'mongod') }
  }
  work.say('building secantus from its crate')
  await buildSecantus(place, work)
  return { binary: built }
}

/** MongoDB has one archive for each distribution: the library knows which, and checks the published digest. */
async function downloadMongodb(place: SetupFolder): Promise<string> {
  return await cached(place.cache, `mongodb-${mongodbVersion}`, async (folder) => {
    const { MongoBinary } = await import('mongodb-memory-server-core')
    const downloadDir = join(folder, 'download')
    await mkdir(downloadDir)
    const binary = await MongoBinary.getPath({ version: mongodbVersion, downloadDir, checkMD5: true })
    if ((await ask([binary, '--version'])) === undefined)
      throw new Error('the MongoDB that was downloaded does not run here')
    await copyFile(binary, join(folder, 'mongod'))
    await rm(downloadDir, { recursive: true })
  })
}

/** Compiled for little time, not for speed: link-time optimisation makes it six times as long. */
async function buildSecantus(place: SetupFolder, { heavy, say }: Work): Promise<void> {
  const make = async (folder: string) => {
    await needCompilers(place)
    const cargo = await findCargo(place)
    const crate = ['secantus-mdb', '--version', `=${secantusVersion}`]
    await run([cargo.command, 'install', '--locked', '--ignore-rust-version', '--root', folder, ...crate], {
      log: place.log('secantus'),
      env: {
        ...cargo.env,
        CARGO_TARGET_DIR: join(folder, 'target'),
        CARGO_PROFILE_RELEASE_OPT_LEVEL: '1',
        CARGO_PROFILE_RELEASE_LTO: 'off',
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '64',
      },
    })
    await rm(join(folder, 'target'), { recursive: true })
  }
  await cached(
    place.cache,
    `secantus-${secantusVersion}`,
    (folder) => heavy(() => make(folder)),
    () => say('another set-up makes it'),
  )
}
