import { join } from 'node:path'
import { arch } from 'node:process'

/** What a part is given: where to keep things, and how to say what it does. */
export type SetupFolder = {
  readonly cache: string
  /** File for the output of the commands that a part runs. */
  log(part: string): string
}

export function createSetupFolder(cache: string): SetupFolder {
  return { cache, log: (part) => join(cache, 'logs', `${part}.log`) }
}

/** The value for this computer's processor, of those that a project publishes binaries for. */
export function forThisProcessor<X, A>(values: { readonly x64: X; readonly arm64: A }): X | A {
  if (arch === 'x64' || arch === 'arm64') return values[arch]
  throw new Error(`There is nothing for the processor ${arch}: use an x86-64 or arm64 computer`)
}
