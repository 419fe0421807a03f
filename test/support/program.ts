/** A program of the project as npm starts it, after the set-up; its exit code and all that it printed are the result. */
import { join } from 'node:path'
import { execa } from 'execa'

const root = join(import.meta.dirname, '../..')

export function runProgram(file: string, ...options: readonly string[]) {
  return execa(process.execPath, [file, ...options], { cwd: root, reject: false, stdin: 'ignore', all: true })
}
