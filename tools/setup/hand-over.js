/**
 * Runs a TypeScript file on Node 24 as if this process were it: arguments, output and exit code are the
 * child's. The child has a process group of its own, so that each signal reaches it through us and only
 * once: a terminal's Ctrl-C goes to everybody in the foreground, and npm passes it on again.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'

/** @type {readonly NodeJS.Signals[]} */
const passedOn = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGWINCH']

/** The same signal again within this time is the same Ctrl-C. */
const sameSignalMs = 250

/**
 * @param {string} root The checkout
 * @param {readonly string[]} argv The file to run, and its arguments
 * @returns {Promise<number>} Its exit code; 128 + the signal's number where a signal ended it
 */
export function handOver(root, argv) {
  const child = spawn(node24(root), [...argv], { stdio: 'inherit', detached: true, env: environment(root) })
  const last = new Map()
  for (const signal of passedOn) {
    process.on(signal, () => {
      const now = performance.now()
      if (now - (last.get(signal) ?? Number.NEGATIVE_INFINITY) > sameSignalMs) child.kill(signal)
      last.set(signal, now)
    })
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)))
  })
}

/** @param {string} root */
function node24(root) {
  const packaged = join(root, 'node_modules', '.bin', 'node')
  if (existsSync(packaged)) return packaged
  if (Number.parseInt(process.versions.node, 10) >= 24) return process.execPath
  throw new Error('There is no packaged Node 24 for this computer: install Node 24 or later and try again.')
}

/**
 * With what Node has compiled already kept beside the packages: a worker starts in half the time.
 *
 * @param {string} root
 */
function environment(root) {
  const packages = join(root, 'node_modules')
  return {
    NODE_COMPILE_CACHE: join(packages, '.cache', 'bellows', 'compiled'),
    ...process.env,
    PATH: `${join(packages, '.bin')}:${process.env.PATH}`,
  }
}
