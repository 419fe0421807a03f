/** A machine that speaks SSH and answers each command as a test says. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import ssh2, { type ServerChannel } from 'ssh2'
import { machineKeys } from '../../src/cloud/machine-keys.ts'
import { openSession, type Session } from '../../src/remote/session.ts'
import type { SshTarget } from '../../src/remote/ssh.ts'
import { Secret } from '../../src/secret.ts'

export type Answer = {
  readonly stdout?: string
  readonly stderr?: string
  /** Default 0. */
  readonly exitCode?: number
  /** The command never ends; `drops`: after its output, the whole connection does. */
  readonly afterwards?: 'stays' | 'drops'
}

/** @param before How often that very command came before, since this script is followed */
type Script = (command: string, before: number) => Answer

export type ScriptedMachine = {
  readonly session: Session
  /** For connections of a test's own. */
  readonly target: SshTarget
  /** Returns the commands from now on, in the order in which they come, without `sudo -n docker `. */
  follow(script: Script): readonly string[]
  close(): void
}

export async function startScriptedMachine(): Promise<ScriptedMachine> {
  let answer: Script = () => ({})
  let commands: string[] = []
  const keys = machineKeys(new Secret('seed'), 'machine')
  const server = new ssh2.Server({ hostKeys: [keys.hostPrivateKey.reveal()] }, (client) => {
    client.on('error', () => {})
    client.on('authentication', (context) => context.accept())
    client.on('session', (accept) =>
      accept().on('exec', (acceptExec, _, { command }) => {
        const asked = command.replace(/^sudo -n docker /, '')
        const before = commands.filter((each) => each === asked).length
        commands.push(asked)
        say(acceptExec(), answer(asked, before), () => client.end())
      }),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server as never, 'listening')
  const { port } = server.address() as AddressInfo
  const target = { host: '127.0.0.1', port, user: 'ubuntu', keys }
  const session = await openSession({ target }, new AbortController().signal)
  return {
    session,
    target,
    follow(script) {
      answer = script
      commands = []
      return commands
    },
    close() {
      session.close()
      server.close()
    },
  }
}

function say(channel: ServerChannel, answer: Answer, drop: () => void): void {
  channel.on('error', () => {})
  if (answer.stderr) channel.stderr.write(answer.stderr)
  if (answer.stdout) channel.write(answer.stdout)
  if (answer.afterwards === 'stays') return
  if (answer.afterwards === 'drops') return void setTimeout(drop, 50) // for what is on its way
  channel.exit(answer.exitCode ?? 0)
  channel.end()
}
