/** What an installation takes from elsewhere, and what it lets that do. The real npm, with no registry. */
import { existsSync, readFileSync } from 'node:fs'
import { copyFile, mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../../..')
const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))

test('every package that a registry gives has its integrity in the lock', () => {
  const entries = Object.entries<Record<string, unknown>>(lock.packages).filter(([path]) => path !== '')
  expect(entries.length).toBeGreaterThan(400)
  const without = entries.filter(([, { integrity }]) => !/^sha512-[\w+/]{86}==$/.test(String(integrity)))
  expect(without.map(([path]) => path)).toEqual([])
})

test.each([
  ['runs no script of a package', [], false],
  ['would run them if it were asked to', ['--ignore-scripts=false'], true],
])('an installation by hand %s', async (_, options, runs) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'bellows-test-'))
  const [made, used] = [join(folder.path, 'made'), join(folder.path, 'used')]
  const marker = join(folder.path, 'was-run')
  await mkdir(made)
  await mkdir(used)
  const scripts = { postinstall: `touch ${marker}` }
  await writeFile(join(made, 'package.json'), JSON.stringify({ name: 'made', version: '1.0.0', scripts }))
  await execa('npm', ['pack', '--pack-destination', used], { cwd: made })
  await writeFile(
    join(used, 'package.json'),
    JSON.stringify({ name: 'used', dependencies: { made: 'file:made-1.0.0.tgz' } }),
  )
  await copyFile(join(root, '.npmrc'), join(used, '.npmrc'))
  await execa('npm', ['install', '--offline', '--no-audit', ...options], { cwd: used, env: withoutNpmsOwn() })
  expect(existsSync(join(used, 'node_modules/made/package.json'))).toBe(true)
  expect(existsSync(marker)).toBe(runs)
})

/** `npm test` hands its configuration down in the environment, where it would win. */
function withoutNpmsOwn(): Record<string, string | undefined> {
  const names = Object.keys(process.env).filter((name) => /^npm_config_/i.test(name))
  return Object.fromEntries(names.map((name) => [name, undefined]))
}
