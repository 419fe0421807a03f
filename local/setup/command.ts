import { appendFile } from 'node:fs/promises'
import { execa } from 'execa'

export type CommandOptions = {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** File that the output is added to; the error shows its end. */
  readonly log: string
  /** Default: an hour, for the slowest build on the slowest computer. */
  readonly timeoutMs?: number
}

/** Runs a command and returns what it printed to stdout; a failure shows the last lines of both streams. */
export async function run(argv: readonly string[], options: CommandOptions): Promise<string> {
  const [file = '', ...rest] = argv
  await appendFile(options.log, `\n$ ${argv.join(' ')}\n`)
  const result = await execa(file, rest, {
    ...(options.cwd && { cwd: options.cwd }),
    ...(options.env && { env: options.env }),
    stdin: 'ignore',
    stdout: ['pipe', { file: options.log, append: true }],
    stderr: ['pipe', { file: options.log, append: true }],
    all: true,
    reject: false,
    timeout: options.timeoutMs ?? 60 * 60_000,
  })
  if (!result.failed) return result.stdout
  const lines = (result.all ?? '').trimEnd().split('\n').slice(-12).join('\n  ')
  throw new Error(`${argv.slice(0, 3).join(' ')} failed (${result.shortMessage}):\n  ${lines}`)
}

/** The command’s stdout when it succeeds within `timeoutMs` (a busy computer is slow to answer), and otherwise nothing. */
export async function ask(argv: readonly string[], timeoutMs = 60_000): Promise<string | undefined> {
  const [file = '', ...rest] = argv
  const result = await execa(file, rest, { reject: false, stdin: 'ignore', timeout: timeoutMs })
  return result.failed ? undefined : result.stdout.trim()
}
