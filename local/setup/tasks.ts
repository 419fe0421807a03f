/**
 * Parts of the set-up, started side by side. A part waits for those that it needs; when one of them fails, it
 * isn't tried. The others go on to their end all the same: what they get is kept for the next time.
 */
import PQueue from 'p-queue'
import type { Progress } from './progress.ts'

/** The result of a part: rejects when it fails. */
export type Part<T> = Promise<T>

export type Work = {
  /** Progress, for the user who watches. A part that says nothing was there already. */
  say(doing: string): void
  /** Waits for its turn: at most two works that fill a core for minutes, as compilers do, go on at once. */
  heavy<T>(work: () => Promise<T>): Promise<T>
}

export type Setup = {
  part<T>(name: string, make: (work: Work) => Promise<T>, needs?: readonly Part<unknown>[]): Part<T>
  /** @throws SetupFailed once all parts have ended, if one of them failed */
  finish(): Promise<void>
}

export class SetupFailed extends Error {
  override readonly name = 'SetupFailed'
}

export function createSetup(progress: Progress, heavyAtOnce = 2): Setup {
  const queue = new PQueue({ concurrency: heavyAtOnce })
  const heavy = <T>(work: () => Promise<T>) => queue.add(work)
  const started: Part<unknown>[] = []
  const problems: string[] = []

  async function run<T>(name: string, make: (work: Work) => Promise<T>, needs: readonly Part<unknown>[]) {
    await Promise.all(needs)
    const line = progress.begin(name)
    try {
      return await make({ say: line.say, heavy })
    } catch (error) {
      problems.push(`${name}: ${error instanceof Error ? error.message : error}`)
      line.fail()
      throw error
    } finally {
      line.end()
    }
  }

  return {
    part(name, make, needs = []) {
      const part = run(name, make, needs)
      part.catch(() => {}) // finish() tells
      started.push(part)
      return part
    },
    async finish() {
      await Promise.allSettled(started)
      if (problems.length > 0) throw new SetupFailed(problems.join('\n'))
    },
  }
}
