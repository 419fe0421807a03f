/** Connections that are there and answer nothing: keepalives come back, commands don't. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import ssh2, { type ServerChannel } from 'ssh2'
import { afterEach, expect, test } from 'vitest'
import { machineKeys } from '../../src/cloud/machine-keys.ts'
import { ConnectionLost, openSsh } from '../../src/remote/ssh.ts'
import { Secret } from '../../src/secret.ts'

const keys = machineKeys(new Secret('seed'), 'machine')
const never = new AbortController().signal
const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})

type Behaviour = 'no channel' | 'no answer' | 'no end'

/** Accepts every login and answers as it is told; `begun` settles when a channel is wanted, `asked` with a command. */
async function startServer(behaviour: Behaviour) {
  const begun = Promise.withResolvers<void>()
  const asked = Promise.withResolvers<() => ServerChannel>()
  const server = new ssh2.Server({ hostKeys: [keys.hostPrivateKey.reveal()] }, (client) => {
    cleanups.push(() => client.end())
    client.on('error', () => {})
    client.on('authentication', (context) => context.accept())
    client.on('session', (accept) => {
      begun.resolve()
      if (behaviour === 'no channel') return
      accept().on('exec', (acceptExec) => {
        asked.resolve(acceptExec)
        if (behaviour === 'no end') acceptExec().on('error', () => {})
      })
    })
  })
  server.listen(0, '127.0.0.1')
  cleanups.push(() => server.close())
  await once(server as never, 'listening')
  const { port } = server.address() as AddressInfo
  const target = { host: '127.0.0.1', port, user: 'ubuntu', keys }
  const open = async (options = {}) => {
    const ssh = await openSsh(target, never, options)
    cleanups.push(() => ssh.close())
    return ssh
  }
  return { open, begun: begun.promise, asked: asked.promise }
}

test.each(['no channel', 'no answer', 'no end'] as const)(
  'a command that gets %s is stopped by its own limit, and by its signal',
  async (behaviour) => {
    const { open, begun } = await startServer(behaviour)
    const ssh = await open()
    const limited = ssh.run(['true'], { signal: never, limitMs: 50 })
    await expect(limited).rejects.toMatchObject({
      reason: 'step-overran',
      message: 'true took longer than 0.05 s',
    })
    await begun
    const abort = new AbortController()
    const reason = new Error('enough')
    const followed = ssh.follow(['true'], () => {}, { signal: abort.signal })
    const run = ssh.run(['true'], { signal: abort.signal, limitMs: 3_600_000 })
    abort.abort(reason)
    await expect(followed).rejects.toBe(reason)
    await expect(run).rejects.toBe(reason)
    expect(ssh.closed).toBe(false)
  },
)

test('a limit holds also for who waits behind others that are not answered', async () => {
  const { open } = await startServer('no end')
  const ssh = await open()
  const abort = new AbortController()
  const others = Array.from({ length: 8 }, () =>
    ssh.run(['sleep', '1'], { signal: abort.signal, limitMs: 3_600_000 }).catch(() => 'given up'),
  )
  const last = ssh.run(['sudo', '-n', 'docker', 'pull', 'a secret'], { signal: never, limitMs: 50 })
  await expect(last).rejects.toMatchObject({
    reason: 'step-overran',
    message: 'docker pull took longer than 0.05 s', // never the arguments
  })
  abort.abort(new Error('enough'))
  expect(new Set(await Promise.all(others))).toEqual(new Set(['given up']))
})

test.each(['no channel', 'no answer'] as const)(
  'a connection that gives %s in time counts as broken, for all that use it',
  async (behaviour) => {
    const { open } = await startServer(behaviour)
    const ssh = await open({ opening: 50 })
    const followed = ssh.follow(['docker', 'logs'], () => {}, { signal: never })
    const run = ssh.run(['true'], { signal: never, limitMs: 3_600_000 })
    await expect(followed).rejects.toBeInstanceOf(ConnectionLost)
    await expect(followed).rejects.toThrow(/was not answered for 0.05 s/)
    await expect(run).rejects.toBeInstanceOf(ConnectionLost)
    expect(ssh.closed).toBe(true)
  },
)

test('a channel that opens after its command was given up is closed again', async () => {
  const { open, asked } = await startServer('no answer')
  const ssh = await open()
  const abort = new AbortController()
  const run = ssh.run(['true'], { signal: abort.signal, limitMs: 3_600_000 }).catch(() => 'given up')
  const accept = await asked
  abort.abort(new Error('enough'))
  expect(await run).toBe('given up')
  const channel = accept()
  channel.resume()
  await once(channel, 'end')
})
