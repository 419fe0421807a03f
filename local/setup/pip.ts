import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { canInstallPackages, installDebianPackages } from './apt.ts'
import { ask, run } from './command.ts'
import type { SetupFolder } from './place.ts'

export type Wheel = { readonly name: string; readonly version: string; readonly sha256: string }

/** Downloads one wheel, which pip checks, and returns the file. */
export async function pipDownload(wheel: Wheel, folder: string, place: SetupFolder): Promise<string> {
  if ((await ask(['python3', '-m', 'pip', '--version'])) === undefined) {
    if (!(await canInstallPackages())) throw new Error('there is no Python with pip to get it with')
    await installDebianPackages(['python3-pip'], place)
  }
  const requirements = join(folder, 'requirements.txt')
  await writeFile(requirements, `${wheel.name}==${wheel.version} --hash=sha256:${wheel.sha256}\n`)
  await run(
    [
      'python3',
      '-m',
      'pip',
      'download',
      '--quiet',
      '--no-deps',
      '--only-binary=:all:',
      '--require-hashes',
    ].concat(['--dest', folder, '-r', requirements]),
    { log: place.log('pip') },
  )
  const file = (await readdir(folder)).find((name) => name.endsWith('.whl'))
  if (!file) throw new Error(`pip left no wheel of ${wheel.name}`)
  return join(folder, file)
}
