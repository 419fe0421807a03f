/**
 * The packages in node_modules against package-lock.json. npm writes `node_modules/.package-lock.json`
 * when, and only when, an installation is complete; every package that we need must be in there with the
 * locked integrity. So an interrupted installation, a changed lock and a missing folder all look the same: not installed.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { withLock } from './lock.js'

/** @param {string} root */
export function packagesAreInstalled(root) {
  const installed = lockedPackages(join(root, 'node_modules', '.package-lock.json'))
  const wanted = lockedPackages(join(root, 'package-lock.json'))
  return installed !== undefined && wanted !== undefined && covers(installed, wanted)
}

/**
 * Optional packages (those for other computers) may be missing, but not be another version.
 *
 * @param {Readonly<Record<string, LockedPackage>>} installed
 * @param {Readonly<Record<string, LockedPackage>>} wanted
 */
export function covers(installed, wanted) {
  return Object.entries(wanted).every(([path, { version, integrity, optional, devOptional }]) => {
    if (path === '') return true
    const found = installed[path]
    if (found === undefined) return optional === true || devOptional === true
    return found.version === version && found.integrity === integrity
  })
}

/**
 * No package's own scripts are run, by `.npmrc` and here: none is needed, and nothing is compiled.
 *
 * @param {string} root
 */
export async function installPackages(root) {
  await withLock(`packages of ${root}`, async () => {
    if (packagesAreInstalled(root)) return
    const started = performance.now()
    console.error('Installing the packages of package-lock.json …')
    const npm = spawn('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    const [code] = await once(npm, 'exit')
    if (code !== 0) {
      throw new Error('npm ci failed (see above): the packages have to come from an npm registry')
    }
    console.error(`Installed the packages in ${((performance.now() - started) / 1000).toFixed(1)} s`)
  })
}

/**
 * @param {string} file
 * @returns {Readonly<Record<string, LockedPackage>> | undefined}
 */
function lockedPackages(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).packages : undefined
}

/**
 * @typedef {{
 *   readonly version?: string, readonly integrity?: string,
 *   readonly optional?: boolean, readonly devOptional?: boolean
 * }} LockedPackage
 */
