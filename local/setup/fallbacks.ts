import { mkdir, rm } from 'node:fs/promises'
import { reachable } from './download.ts'

/** One way to get a part. `hosts` are those that it can't do without: it isn't tried where one is out of reach. */
export type Way = {
  readonly doing: string
  readonly hosts?: readonly string[]
  make(folder: string): Promise<void>
}

/** Fills `folder` in the first way that works; each starts with an empty one. */
export async function firstThatWorks(
  ways: readonly Way[],
  folder: string,
  say: (doing: string) => void,
): Promise<void> {
  const reasons: string[] = []
  for (const { doing, hosts = [], make } of ways) {
    const answers = await Promise.all(hosts.map(reachable))
    if (answers.includes(false)) {
      reasons.push(`${doing}: ${hosts.filter((_, index) => !answers[index]).join(' and ')} can't be reached`)
      continue
    }
    say(doing)
    try {
      return await make(folder)
    } catch (error) {
      reasons.push(`${doing}: ${error instanceof Error ? error.message : error}`)
      await rm(folder, { recursive: true, force: true })
      await mkdir(folder)
    }
  }
  throw new Error(reasons.join('; '))
}
