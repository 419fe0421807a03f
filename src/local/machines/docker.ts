/** The Docker command line on this computer: argv is built by the callers, and run here. */
import { execa } from 'execa'

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

/** True if Docker's refusal only means that the thing is not there. */
export const isAbsent = (error: unknown): boolean =>
  error instanceof DockerError && /no such|not found/i.test(error.stderr)
