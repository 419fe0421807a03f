/** A server that a check is made against, and that never outlives it: not even where the check is killed. */
import { setTimeout as pause } from 'node:timers/promises'
import { execa } from 'execa'
import type { Program } from '../../local/setup/moto.ts'

export type ServerBeside = AsyncDisposable & { readonly url: string; readonly pid: number }

const startMs = 60_000

/** `port` is what the program is told to listen on. */
export async function startBeside({ argv, env }: Program, port: number, path: string): Promise<ServerBeside> {
  const [command = '', ...words] = withItsParent([...argv, '-p', String(port)])
  const server = execa(command, words, { env, stdio: 'ignore', reject: false })
  const url = `http://127.0.0.1:${port}`
  const stop = async () => {
    server.kill()
    await server
  }
  try {
    await untilAnswers(`${url}${path}`)
  } catch (error) {
    await stop()
    throw error
  }
  return { url, pid: server.pid ?? 0, [Symbol.asyncDispose]: stop }
}

/** The kernel ends it with its parent; util-linux has that command on every Linux. */
export const withItsParent = (argv: readonly string[]): readonly string[] => [
  'setpriv',
  '--pdeathsig',
  'KILL',
  ...argv,
]

async function untilAnswers(url: string): Promise<void> {
  const deadline = performance.now() + startMs
  const answers = () =>
    fetch(url).then(
      () => true,
      () => false,
    )
  while (!(await answers())) {
    if (performance.now() > deadline) throw new Error(`${url} does not answer`)
    await pause(100)
  }
}
