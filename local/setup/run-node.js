/**
 * Runs a TypeScript file on Node 24 as if this process were it: arguments, output and exit code are the
 * child's. The child has a process group of its own, so that each signal reaches it through us and only
 * once: a terminal's Ctrl-C goes to the whole foreground, and npm passes it on again. It does not outlive npm:
 * npm passes on neither SIGHUP nor, of course, SIGKILL, so its end is noticed here, and the child is told to stop.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'

/** @type {readonly NodeJS.Signals[]} */
const passedOn = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGWINCH']

/** @type {readonly NodeJS.Signals[]} */
const toStop = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']

/** The same signal again within this time is the same Ctrl-C. A busy computer may take a while to bring both. */
const sameSignalMs = 1000

const lookForParentMs = 500

/**
 * @param {string} root The checkout
 * @param {readonly string[]} argv The file to run, and its arguments; `--env-file` before it: settings come from the
 *   checkout's `.env` too, if there is one. What the environment has goes before it.
 * @returns {Promise<number>} Its exit code; 128 + the signal's number where a signal ended it
 */
export function runNode(root, argv) {
  const child = spawn(node24(root), withSettings(root, argv), {
    stdio: 'inherit',
    detached: true,
    env: environment(root),
  })
  const last = new Map()
  for (const signal of passedOn) {
    process.on(signal, () => {
      const now = performance.now()
      if (now - (last.get(signal) ?? Number.NEGATIVE_INFINITY) > sameSignalMs) child.kill(signal)
      last.set(signal, now)
    })
  }
  // A parent other than npm may want us to outlive it.
  if (process.env.npm_lifecycle_event) {
    onceParentIsGone(() => {
      if (!toStop.some((signal) => last.has(signal))) child.kill('SIGTERM')
    })
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)))
  })
}

/** @param {() => void} act */
function onceParentIsGone(act) {
  const parent = process.ppid
  const looking = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(looking)
    act()
  }, lookForParentMs).unref()
}

/**
 * @param {string} root
 * @param {readonly string[]} argv
 */
function withSettings(root, [first = '', ...others]) {
  if (first !== '--env-file') return [first, ...others]
  const file = join(root, '.env')
  return existsSync(file) ? [`--env-file=${file}`, ...others] : others
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
