/**
 * Before each test file, in its process: turns on the mutant that is asked for; when none is, notes which ones each test
 * reaches. Ends the process when it takes too long, even in a loop that lets nothing else run.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterAll, afterEach, beforeEach, expect, inject } from 'vitest'

declare module 'vitest' {
  interface ProvidedContext {
    readonly mutants: {
      /** A mutant's number; 0 for none. */
      readonly on: number
      /** Where what is reached is noted. */
      readonly folder: string
      readonly limitMs: number
    }
  }
}

declare global {
  var mutantIsOn: (id: number) => boolean
}

/** What one process leaves in the folder. */
export type Notes = {
  readonly file: string
  /** Outside of every test: while the file is loaded, or a group is prepared. */
  readonly reached: readonly number[]
  readonly tests: readonly {
    readonly id: string
    readonly tookMs: number
    readonly reached: readonly number[]
  }[]
}

const { on, folder, limitMs } = inject('mutants')

if (on === 0) takeNotes()
else globalThis.mutantIsOn = (id) => id === on

/** Whatever it started is ended with it. */
const kill = `
  const { readFileSync } = require('node:fs')
  const { pid } = process
  setTimeout(() => {
    try {
      const children = readFileSync(\`/proc/\${pid}/task/\${pid}/children\`, 'utf8').split(' ')
      for (const child of children.filter(Boolean)) process.kill(Number(child), 'SIGKILL')
    } finally {
      process.kill(pid, 'SIGKILL')
    }
  }, ${limitMs})`
new Worker(kill, { eval: true }).unref()

function takeNotes(): void {
  const outside = new Set<number>()
  const tests: Notes['tests'][number][] = []
  // A test may put a clock of its own in the place of the real one.
  const now = performance.now.bind(performance)
  let reached = outside
  let began = 0

  globalThis.mutantIsOn = (id) => {
    reached.add(id)
    return false
  }
  beforeEach(() => {
    reached = new Set()
    began = now()
  })
  afterEach(({ task }) => {
    tests.push({ id: task.id, tookMs: now() - began, reached: [...reached] })
    reached = outside
  })
  afterAll(() => {
    const notes: Notes = { file: expect.getState().testPath ?? '', reached: [...outside], tests }
    writeFileSync(join(folder, `${process.pid}.json`), JSON.stringify(notes))
  })
}
