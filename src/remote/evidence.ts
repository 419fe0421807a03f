/** Evidence that explains a failure on a machine, for the operator; also from a machine that half works. */
import { printableLines } from '../text.ts'
import * as argv from './argv.ts'
import type { Session } from './session.ts'

const limitMs = 10_000

/** Sections of plain text, at most 16 KiB each; never throws. */
export const evidence = async (session: Session, name: string): Promise<string> => {
  const signal = AbortSignal.timeout(30_000)
  const section = async ([title, command]: readonly [string, argv.Argv]): Promise<string> => {
    const text = await session
      .use((ssh) => ssh.run(command, { signal, limitMs, maxBytes: 4 * 2 ** 20 }), signal)
      .then(({ stdout, stderr }) => `${stdout}${stderr}`)
      .catch((error: unknown) => `could not be had: ${error instanceof Error ? error.message : error}`)
    return `== ${title}\n${printableLines(text)
      .trim()
      .slice(-16 * 1024)
      .toWellFormed()}`
  }
  const sections = Object.entries({
    'last lines of the log': argv.lastLogs(name, 40),
    container: argv.inspectTrainer(name),
    'kernel messages': argv.kernelTail,
    GPU: argv.gpuReport,
    disk: argv.diskReport,
    memory: argv.memoryReport,
  })
  return (await Promise.all(sections.map(section))).join('\n')
}
