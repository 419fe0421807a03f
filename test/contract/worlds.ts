/** The two implementations that each contract is tested on: in memory, and on a real server. */
import type { Db } from 'mongodb'
import { describe } from 'vitest'
import { testDatabase } from '../support/database.ts'

export type World = {
  readonly name: 'memory' | 'MongoDB'
  /** Throws in memory: only MongoDB's adapters are made with it. */
  db(): Db
}

/** One `describe` for each implementation of the port. */
export function describeBoth(port: string, tests: (world: World) => void): void {
  describe(`${port} in memory`, () =>
    tests({
      name: 'memory',
      db() {
        throw new Error('there is no database in memory')
      },
    }))
  describe(`${port} in MongoDB`, () => {
    const database = testDatabase()
    tests({ name: 'MongoDB', db: () => database.db })
  })
}
