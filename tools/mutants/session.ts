/**
 * The quick tests, in one vitest that stays: each run turns on another mutant, or none. They need nothing but Node, and for
 * the contracts a database and an object store.
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { createVitest, type TestSpecification } from 'vitest/node'
import { startDatabase } from '../../local/emulator/database.ts'
import { type DevEnvironment, setUp } from '../../local/setup/dev-environment.ts'
import type {} from '../../test/support/dev-environment.ts'
import type { Notes } from './in-worker.ts'
import { reaching } from './reach.ts'
import { type Numbered, withSwitches } from './switches.ts'

/** What needs machines, the engine or the time of a person, or runs in processes that no mutant gets into. */
const exclude = [
  'test/{integration,browser,tools,bench,trainers}/**',
  'test/faults/real*.test.ts',
  'test/contract/killed.test.ts',
  'test/docs.test.ts',
]

/** Fewer random schedules than `npm test` runs, so that a mutant takes seconds. */
const env = { FAULTS_SCHEDULES: '3' }

/** For each mutant its quickest tests, as many as take so long without it; the first in any case. */
const budgetMs = 20_000

/** A test file may take so many times what its tests take without a mutant, and the rest for a busy computer. */
const slower = 5
const graceMs = 20_000

/** A test, and the mutants that it runs into. */
export type Reach = {
  readonly file: string
  readonly id: string
  readonly tookMs: number
  readonly reached: ReadonlySet<number>
}

export type Session = {
  /** The tests of every file that imports one of `files`, run without a mutant. */
  measure(files: ReadonlySet<string>): Promise<readonly Reach[]>
  /** Noticed is what makes a test fail, or take far too long; unreached what no test runs into. */
  resultOf(mutant: Numbered, tests: readonly Reach[]): Promise<'noticed' | 'survived' | 'unreached'>
  close(): Promise<void>
}

export type SessionOptions = {
  readonly root: string
  /** By the file's path. */
  readonly mutants: ReadonlyMap<string, readonly Numbered[]>
  /** For what the tests' processes note and leave behind, and the database. */
  readonly folder: string
  /** Test files at once while it is measured what they reach. */
  readonly atOnce: number
  /** Leaves the simulated deployments out. */
  readonly unitsOnly: boolean
}

export async function openSession({
  root,
  mutants,
  folder,
  atOnce,
  unitsOnly,
}: SessionOptions): Promise<Session> {
  const real = await startRealParts(folder)
  const notes = join(folder, 'notes')
  const temporary = join(folder, 'temporary')
  await Promise.all([mkdir(notes), mkdir(temporary)])
  const vitest = await createVitest(
    'test',
    {
      ...{ config: false, root, watch: false, reporters: [{}], silent: true },
      env: { ...env, TMPDIR: temporary },
      ...{ pool: 'forks', maxWorkers: atOnce, bail: 1, testTimeout: 5 * 60_000 },
      include: ['test/**/*.test.ts'],
      exclude: [...exclude, ...(unitsOnly ? ['test/faults/**'] : [])],
      setupFiles: [join(import.meta.dirname, 'in-worker.ts')],
    },
    {
      logLevel: 'silent',
      plugins: [
        {
          name: 'mutants',
          enforce: 'pre',
          transform(text, id) {
            const planted = mutants.get(id)
            return planted ? { code: withSwitches(text, planted), map: null } : undefined
          },
        },
      ],
    },
  )
  await vitest.standalone()
  vitest.provide('devEnvironment', real.devEnvironment)
  const project = vitest.getRootProject()

  /** The titles of what failed. */
  async function run(
    on: number,
    limitMs: number,
    tests: readonly TestSpecification[],
  ): Promise<readonly string[]> {
    vitest.provide('mutants', { on, folder: notes, limitMs })
    const { testModules, unhandledErrors } = await vitest.runTestSpecifications([...tests])
    process.exitCode = 0
    // Vitest hands back every file of its life. One that failed with an earlier mutant must not count for this one.
    const ran = new Set(tests.map(({ moduleId }) => moduleId))
    const failed = testModules
      .filter((each) => ran.has(each.moduleId) && each.state() === 'failed')
      .map((each) => each.relativeModuleId)
    return [...failed, ...unhandledErrors.map((error) => inspect(error))]
  }

  return {
    async measure(files) {
      const all = await vitest.globTestSpecifications()
      const paths = reaching(
        all.map(({ moduleId }) => moduleId),
        files,
      )
      const tests = paths.map((path) => project.createSpecification(path))
      const failed = await run(0, 30 * 60_000, tests)
      if (failed.length > 0) throw new Error(`Tests fail without a mutant: ${failed.join(', ')}`)
      return reachedBy(notes)
    },
    async resultOf({ id }, tests) {
      const chosen = quickest(tests.filter(({ reached }) => reached.has(id)))
      if (chosen.length === 0) return 'unreached'
      // One after the other: where a mutant hangs, the first file that is killed for it is enough.
      for (const [file, these] of Map.groupBy(chosen, ({ file }) => file)) {
        const limitMs = slower * these.reduce((sum, { tookMs }) => sum + tookMs, 0) + graceMs
        const specification = project.createSpecification(file, { testIds: these.map((test) => test.id) })
        if ((await run(id, limitMs, [specification])).length > 0) return 'noticed'
      }
      return 'survived'
    },
    async close() {
      await vitest.close()
      await real.stop()
    },
  }
}

/** One database server for all: each test file has a database of its own in it. */
async function startRealParts(
  folder: string,
): Promise<{ devEnvironment: DevEnvironment; stop(): Promise<void> }> {
  const parts = await setUp(['mongo', 'versitygw'])
  const { binary, url } = parts.mongo
  const database = binary && !url ? await startDatabase({ binary }, join(folder, 'database')) : undefined
  const mongo = { ...parts.mongo, ...(database && { url: database.url }) }
  return { devEnvironment: { ...parts, mongo } as DevEnvironment, stop: async () => database?.stop() }
}

function quickest(tests: readonly Reach[]): readonly Reach[] {
  let leftMs = budgetMs
  return tests
    .toSorted((one, other) => one.tookMs - other.tookMs)
    .filter(({ tookMs }, index) => {
      leftMs -= tookMs
      return index === 0 || leftMs > 0
    })
}

async function reachedBy(folder: string): Promise<readonly Reach[]> {
  const result: Reach[] = []
  for (const name of await readdir(folder)) {
    const notes: Notes = JSON.parse(await readFile(join(folder, name), 'utf8'))
    await rm(join(folder, name))
    for (const { id, tookMs, reached } of notes.tests) {
      result.push({ file: notes.file, id, tookMs, reached: new Set([...notes.reached, ...reached]) })
    }
  }
  return result
}
