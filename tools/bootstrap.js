/**
 * What every npm script starts with. It runs on whatever Node (20 or later) there is, sees to it that the
 * packages are those of package-lock.json, and hands over to the Node 24 among them, which runs
 * TypeScript as it is. Plain JavaScript that imports nothing but Node: there may be nothing else yet.
 *
 *     node tools/bootstrap.js [--env-file] FILE.ts [ARGUMENTS]
 *
 * The scripts `exec` it: a shell in between would take the signals that npm passes on, and keep them to itself.
 */
import { fileURLToPath } from 'node:url'
import { installPackages, packagesAreInstalled } from '../local/setup/packages.js'
import { runNode } from '../local/setup/run-node.js'

const root = fileURLToPath(new URL('..', import.meta.url))

try {
  if (!packagesAreInstalled(root)) await installPackages(root)
  process.exitCode = await runNode(root, process.argv.slice(2))
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
