/** The Docker command line on this computer: argv is built by the callers, and run here. */
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { execa } from 'execa'
import tar from 'tar-stream'

export class DockerError extends Error {
  readonly stderr: string

  constructor(argv: readonly string[], stderr: string) {
    super(`docker ${argv[0]} failed: ${stderr.trim() || 'no reason was given'}`)
    this.name = 'DockerError'
    this.stderr = stderr
  }
}

/** Runs `docker …argv` and returns its stdout without the last newline. Throws a DockerError. */
export async function docker(argv: readonly string[], input?: string | Buffer): Promise<string> {
  const result = await execa('docker', argv, {
    reject: false,
    ...(input === undefined ? { stdin: 'ignore' } : { input }),
  })
  if (result.exitCode !== 0) throw new DockerError(argv, result.stderr || result.shortMessage || '')
  return result.stdout
}

/** Everything that a container has written, both streams in their order; undefined if it is not there. */
export async function dockerLogs(name: string): Promise<string | undefined> {
  const { all, exitCode } = await execa('docker', ['logs', name], {
    all: true,
    reject: false,
    stdin: 'ignore',
  })
  return exitCode === 0 ? all : undefined
}

/** The file of a container that may have ended, whole; undefined if either is not there. */
export async function dockerFile(name: string, path: string): Promise<Buffer | undefined> {
  const { stdout, exitCode } = await execa('docker', ['cp', `${name}:${path}`, '-'], {
    encoding: 'buffer',
    reject: false,
    stdin: 'ignore',
  })
  if (exitCode !== 0) return undefined
  const files = Readable.from([stdout]).pipe(tar.extract())
  for await (const entry of files) return buffer(entry)
  return undefined
}

/** True if Docker's refusal only means that the thing is not there. */
export const isAbsent = (error: unknown): boolean =>
  error instanceof DockerError && /no such|not found/i.test(error.stderr)
