import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import ssh2 from 'ssh2'
import { afterEach, expect, test, vi } from 'vitest'
import { machineKeys } from '../../src/cloud/machine-keys.ts'
import { openSession } from '../../src/remote/session.ts'
import { Secret } from '../../src/secret.ts'

const keys = machineKeys(new Secret('a deployment’s secret'), 'machine')
const strange = machineKeys(new Secret('another secret'), 'machine')
const never = new AbortController().signal

/** An sshd that accepts every login, under that host key. Port 0: any that is free. */
async function listen(hostKey: Secret, port = 0) {
  const server = new ssh2.Server({ hostKeys: [hostKey.reveal()] }, (client) => {
    client.on('error', () => {})
    client.on('authentication', (context) => context.accept())
  })
  server.listen(port, '127.0.0.1')
  await once(server as never, 'listening')
  const close = () => new Promise<void>((resolve) => server.close(() => resolve()))
  return { port: (server.address() as AddressInfo).port, close }
}

const targetAt = (port: number) => ({ host: '127.0.0.1', port, user: 'ubuntu', keys })

afterEach(() => vi.restoreAllMocks())

test('a machine that shows a strange host key is asked again, however long its boot may take', async () => {
  const stranger = await listen(strange.hostPrivateKey)
  // An hour passes between any two looks at the clock.
  let hours = 0
  vi.spyOn(performance, 'now').mockImplementation(() => hours++ * 3_600_000)
  const heard: string[] = []
  const thrice = Promise.withResolvers<void>()
  const onWait = (why: string) => {
    if (heard.push(why) === 3) thrice.resolve()
  }
  const opening = openSession({ target: targetAt(stranger.port), onWait }, never)
  await Promise.race([thrice.promise, opening])
  expect(heard).toEqual(Array(3).fill('127.0.0.1 shows another host key than the one made for it'))
  await stranger.close()
  const machine = await listen(keys.hostPrivateKey, stranger.port)
  const session = await opening
  session.close()
  await machine.close()
})

test('it is given up with the signal, whose reason tells', async () => {
  const stranger = await listen(strange.hostPrivateKey)
  const limit = new AbortController()
  const onWait = () => limit.abort(new Error('boot took longer than 8 min'))
  const opening = openSession({ target: targetAt(stranger.port), onWait }, limit.signal)
  await expect(opening).rejects.toThrow('boot took longer than 8 min')
  await stranger.close()
})
