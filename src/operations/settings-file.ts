/** Settings in a file such as `.env`: lines of `NAME=value`, and comments. */
import { existsSync } from 'node:fs'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { complain } from '../terminal.ts'

type Settings = Readonly<Record<string, string>>

/** Prints the settings, or puts them into the file where one is named, and says so. */
export async function tellSettings(settings: Settings, file: string | undefined): Promise<void> {
  if (!file) {
    process.stdout.write(withSettings('', settings))
    return
  }
  await putSettings(file, settings)
  complain(`${file}: ${Object.keys(settings).join(', ')}`)
}

/** Makes the file where there is none, for its owner only: there will be secrets in it. */
export async function putSettings(file: string, settings: Settings): Promise<void> {
  const text = existsSync(file) ? await readFile(file, 'utf8') : ''
  const unfinished = `${file}.${process.pid}`
  await writeFile(unfinished, withSettings(text, settings), { mode: 0o600 })
  await rename(unfinished, file)
}

/** Each in its own place, which may be commented out, as in `.env.example`; at the end where it has none. */
export function withSettings(text: string, settings: Settings): string {
  const lines = text === '' ? [] : text.replace(/\n$/, '').split('\n')
  const missing = new Map(Object.entries(settings))
  const replaced = lines.flatMap((line) => {
    const name = /^#?([A-Z][A-Z0-9_]*)=/.exec(line)?.[1]
    if (name === undefined || settings[name] === undefined) return [line]
    if (!missing.delete(name)) return line.startsWith('#') ? [line] : []
    return [assignment(name, settings[name])]
  })
  const added = [...missing].map(([name, value]) => assignment(name, value))
  return [...replaced, ...added].map((line) => `${line}\n`).join('')
}

/** A value with a `#` or a blank needs quotes. */
const assignment = (name: string, value: string): string =>
  /[#\s]/.test(value) ? `${name}="${value}"` : `${name}=${value}`
