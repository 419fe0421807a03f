import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** Left out of a folder's hash: what running the code leaves behind. */
const leftovers = new Set(['__pycache__', '.pytest_cache', '.ruff_cache'])

/**
 * Twelve hexadecimal digits that change when a file's name, content or executable bit does, or one of `words`.
 * The order in which a file system lists its files doesn't matter.
 */
export function hashInputs(folders: readonly string[], words: readonly string[] = []): string {
  const hash = createHash('sha256')
  const add = (text: string | Buffer) => hash.update(`${text.length}:`).update(text)
  for (const word of words) add(word)
  for (const folder of folders) {
    for (const file of filesOf(folder)) {
      const path = join(folder, file)
      add(file)
      add(statSync(path).mode & 0o100 ? 'executable' : 'plain')
      add(readFileSync(path))
    }
  }
  return hash.digest('hex').slice(0, 12)
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .filter((file) => !file.split('/').some((part) => leftovers.has(part)) && !file.endsWith('.pyc'))
    .sort()
}
