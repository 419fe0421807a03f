/** What every command supports: `--help` and `--version`, before it reads a setting or fetches anything. */
import { readFileSync } from 'node:fs'
import { Command, InvalidArgumentError } from 'commander'
import { type Family, families } from './family.ts'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  readonly version: string
}

/** @param name As a person types it, such as `npm run demo --` */
export function commandLine(name: string, description: string): Command {
  return new Command(name).description(description).version(version).showHelpAfterError()
}

/** Parser of an option's value. */
export function positive(text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new InvalidArgumentError('It must be a number above 0.')
  return value
}

/** Parser of an option's value. */
export function family(text: string): Family {
  const found = families.find((each) => each === text.toUpperCase())
  if (!found) throw new InvalidArgumentError(`It must be one of ${families.join(', ')}.`)
  return found
}
