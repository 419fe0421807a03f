/**
 * The folder outside of the checkout where everything that is downloaded or built is kept: `BELLOWS_CACHE`, or
 * `~/.cache/bellows`. An entry is made in a temporary folder and renamed into place: what is there is whole.
 */
import { existsSync } from 'node:fs'
import { glob, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { withLock } from './lock.js'

export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  return environment.BELLOWS_CACHE ?? join(environment.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'bellows')
}

/**
 * The folder `name` of the cache, made by `make` if it isn't there: `make` fills the folder that it is given.
 * Of two processes that want the same entry one makes it, and the other waits for it.
 */
export async function cached(
  cache: string,
  name: string,
  make: (folder: string) => Promise<void>,
  onWait?: () => void,
): Promise<string> {
  const entry = join(cache, name)
  if (existsSync(entry)) return entry
  await withLock(
    entry,
    async () => {
      if (existsSync(entry)) return
      await mkdir(dirname(entry), { recursive: true })
      await removeUnfinished(entry)
      const folder = await mkdtemp(unfinished(entry))
      try {
        await make(folder)
        await rename(folder, entry)
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    },
    onWait,
  )
  return entry
}

const unfinished = (entry: string) => join(dirname(entry), `.making-${basename(entry)}-`)

/** What was left by a set-up that was killed. */
async function removeUnfinished(entry: string): Promise<void> {
  for await (const folder of glob(`${unfinished(entry)}*`)) await rm(folder, { recursive: true, force: true })
}
