/** A command and whatever it starts, such as Terraform with its provider, that ends with the check that runs it. */
import { execa, type Options } from 'execa'
import { killSession } from '../../src/cloud/pulumi/process-session.ts'
import { withItsParent } from './server-beside.ts'

const ends = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** @throws execa's error where it fails, with all that it said */
export async function runInSession(
  argv: readonly string[],
  options: Pick<Options, 'cwd' | 'env' | 'timeout'>,
): Promise<{ readonly stdout: string }> {
  const [command = '', ...words] = withItsParent(argv)
  const child = execa(command, words, { ...options, stdin: 'ignore', detached: true, cleanup: false })
  const end = () => {
    if (child.pid !== undefined) killSession(child.pid)
  }
  const onSignal = (signal: NodeJS.Signals) => {
    end()
    forget()
    process.kill(process.pid, signal)
  }
  const forget = () => {
    for (const signal of ends) process.removeListener(signal, onSignal)
  }
  for (const signal of ends) process.on(signal, onSignal)
  try {
    const { stdout } = await child
    return { stdout: String(stdout) }
  } finally {
    forget()
    end()
  }
}
