/** Debian's and Ubuntu's packages: signed, and only where this process may install them. */
import { getuid } from 'node:process'
import { ask, run } from './command.ts'
import { withLock } from './lock.js'
import type { SetupFolder } from './place.ts'

let updated: Promise<unknown> | undefined

export async function canInstallPackages(): Promise<boolean> {
  return getuid?.() === 0 && (await ask(['apt-get', '--version'])) !== undefined
}

/** @throws A sentence that names the packages to install, where that isn't ours to do. */
export async function installDebianPackages(packages: readonly string[], place: SetupFolder): Promise<void> {
  const command = `apt-get install ${packages.join(' ')}`
  if (!(await canInstallPackages()))
    throw new Error(`install what "${command}" installs on Debian, and try again`)
  const options = { log: place.log('apt'), env: { DEBIAN_FRONTEND: 'noninteractive' } }
  await withLock('Debian packages', async () => {
    updated ??= run(['apt-get', 'update', '-q'], options).catch(() => 'the lists there are may do')
    await updated
    await run(
      [
        'apt-get',
        'install',
        '-y',
        '-q',
        '--no-install-recommends',
        '-o',
        'DPkg::Lock::Timeout=300',
        ...packages,
      ],
      options,
    )
  })
}
