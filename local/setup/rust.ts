/** Cargo: the one on the path, or Rust's own installer's (checked; kept in the cache and nowhere else). */
import { chmod, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { installDebianPackages } from './apt.ts'
import { cached } from './cache.ts'
import { ask, run } from './command.ts'
import { download } from './download.ts'
import { forThisProcessor, type SetupFolder } from './place.ts'

const rustVersion = '1.95.0'

const rustupVersion = '1.29.0'

const installers = {
  x64: {
    target: 'x86_64-unknown-linux-gnu',
    sha256: '4acc9acc76d5079515b46346a485974457b5a79893cfb01112423c89aeb5aa10',
  },
  arm64: {
    target: 'aarch64-unknown-linux-gnu',
    sha256: '9732d6c5e2a098d3521fca8145d826ae0aaa067ef2385ead08e6feac88fa5792',
  },
} as const

export type Cargo = { readonly command: string; readonly env: Readonly<Record<string, string>> }

export async function findCargo(place: SetupFolder): Promise<Cargo> {
  if ((await ask(['cargo', '--version'])) !== undefined) return { command: 'cargo', env: {} }
  const folder = await cached(place.cache, `rust-${rustVersion}`, async (into) => {
    try {
      await installRust(into, place)
    } catch (error) {
      throw new Error(`install Rust ${rustVersion} or later (${(error as Error).message})`)
    }
  })
  return { command: join(folder, 'cargo', 'bin', 'cargo'), env: rustHomes(folder) }
}

/** What crates with C and C++ in them are built with. */
export async function needCompilers(place: SetupFolder): Promise<void> {
  const found = await Promise.all([
    ask(['cc', '--version']),
    ask(['c++', '--version']),
    ask(['cmake', '--version']),
  ])
  if (found.includes(undefined)) await installDebianPackages(['build-essential', 'cmake'], place)
}

async function installRust(folder: string, place: SetupFolder): Promise<void> {
  const { target, sha256 } = forThisProcessor(installers)
  const installer = join(folder, 'rustup-init')
  await download(
    `https://static.rust-lang.org/rustup/archive/${rustupVersion}/${target}/rustup-init`,
    installer,
    sha256,
  )
  await chmod(installer, 0o755)
  const options = ['-y', '--no-modify-path', '--profile', 'minimal', '--default-toolchain', rustVersion]
  await run([installer, ...options], { log: place.log('rust'), env: rustHomes(folder) })
  await rm(installer)
}

function rustHomes(folder: string) {
  return { RUSTUP_HOME: join(folder, 'rustup'), CARGO_HOME: join(folder, 'cargo') }
}
