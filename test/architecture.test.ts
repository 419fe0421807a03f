/** The direction of imports: what decides knows what touches the world by its interface, never the other way round. */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const source = fileURLToPath(new URL('../src', import.meta.url))

/** From the bottom up: a room imports from itself and from those before it. A file in `src/` is a room of its own. */
const rooms = [
  ...['clock', 'failure', 'family', 'fetch', 'mongo', 'retry', 'secret', 'stopping', 'temporary-folder'],
  ...['text', 'terminal', 'worker-fault', 'command-line', 'addresses'],
  ...['ledger', 'registries', 'storage', 'cloud', 'bases', 'recipes'],
  ...['datasets', 'models', 'remote', 'trainings', 'notify'],
  ...['pipeline', 'operations', 'web'],
  ...['log', 'metrics', 'config', 'clients', 'worker', 'cli'],
]

/** The two halves of one room: what a setting is, and what settings must be together. */
const roomOf = (file: string) => file.replace(/^config-rules\.ts$/, 'config.ts').split(/[/.]/)[0] ?? ''

const files = globSync('**/*.ts', { cwd: source })

/** `loaded`: without those of types alone, which are gone when the program runs. */
function importsOf(file: string, loaded = false): readonly string[] {
  const text = readFileSync(join(source, file), 'utf8')
  const imports = text.matchAll(/^(?:import|export) (type )?[^']*?from '(\.[^']+)'/gms)
  return [...imports].flatMap(([, type, path = '']) =>
    loaded && type ? [] : [relative(source, join(source, dirname(file), path))],
  )
}

test('every room imports only from those below it', () => {
  const upward = files.flatMap((file) =>
    importsOf(file)
      .filter((imported) => !imported.startsWith('..'))
      .filter((imported) => rooms.indexOf(roomOf(imported)) > rooms.indexOf(roomOf(file)))
      .map((imported) => `${file} imports ${imported}`),
  )
  expect(upward).toEqual([])
})

test('every room has its place in that order', () => {
  expect([...new Set(files.map(roomOf))].filter((room) => !rooms.includes(room))).toEqual([])
})

test('what ships imports nothing of the emulator and of the tests', () => {
  const outside = files.flatMap((file) =>
    importsOf(file)
      .filter((imported) => imported.startsWith('..') && !imported.startsWith('../infra/'))
      .map((imported) => `${file} imports ${imported}`),
  )
  expect(outside).toEqual(['cli.ts imports ../tools/push-images.ts']) // which builds the images from this repository
})

test('only what puts a worker together knows which cloud it has', () => {
  const knowing = files.filter((file) =>
    importsOf(file).some((imported) => /^cloud\/(aws|pulumi)\//.test(imported)),
  )
  expect(knowing.filter((file) => !file.startsWith('cloud/')).sort()).toEqual([
    'cli.ts',
    'clients.ts',
    'config-rules.ts',
    'config.ts',
    'operations/provider-plugin.ts',
    'worker.ts',
  ])
})

test('no module needs itself to be loaded first', () => {
  const circles: string[] = []
  const done = new Set<string>()
  function visit(file: string, path: readonly string[]): void {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' → '))
    if (done.has(file) || path.includes(file)) return
    for (const imported of importsOf(file, true))
      if (files.includes(imported)) visit(imported, [...path, file])
    done.add(file)
  }
  for (const file of files) visit(file, [])
  expect(circles).toEqual([])
})
