import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import ssh2 from 'ssh2'
import { pack } from 'tar-stream'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { machineKeys } from '../../src/cloud/machine-keys.ts'
import { pinned } from '../../src/registries/image-name.ts'
import type { Host, MachineEvent } from '../../src/remote/host.ts'
import { openSession } from '../../src/remote/session.ts'
import { ConnectionLost, openSsh, type Ssh, type SshTarget } from '../../src/remote/ssh.ts'
import { sshRemote } from '../../src/remote/ssh-remote.ts'
import { Secret } from '../../src/secret.ts'
import { containerOf, hostContract } from '../contract/hosts.ts'
import { startStore } from './helper.ts'
import { bootMachine, docker, importShellImage, shellImage, type TestMachine } from './machine.ts'

const never = new AbortController().signal

const trainer = `
echo '{"step":1}'
case $BEHAVIOUR in
  trains) echo '{"step":2}'; echo '{"step":3}'; echo model > /job/out/model ;;
  fails) echo 'it broke' >&2; exit 3 ;;
  waits)
    trap 'echo "{\\"step\\":1}" > /job/checkpoint/state.json; exit 75' TERM
    while :; do sleep 0.1; done ;;
  counts)
    step=1
    while [ ! -e /job/enough ]; do step=$((step + 1)); echo "{\\"step\\":$step}"; sleep 0.05; done ;;
  gorges) exec tail /dev/zero ;;
  continues) cat /job/checkpoint/step/state; echo 2 > /job/checkpoint/step/state && mkdir /job/checkpoint/step/next && echo changed ;;
  looks) id -u; ls /sys/class/net; touch /root-file; touch /tmp/file && echo 'tmp: yes'; cat /proc/self/status ;;
esac
`

let tested: TestMachine
let target: SshTarget
let host: Host
let store: Awaited<ReturnType<typeof startStore>>
const attach = (signal: AbortSignal = never, onWait?: (why: string) => void) =>
  sshRemote({ keysFor: tested.keysFor, user: 'ubuntu', port: 22, watchSeconds: 1, pollMs: 500 }).connect(
    tested.machine,
    signal,
    onWait,
  )

beforeAll(async () => {
  tested = await bootMachine()
  // Asked before it has booted: it refuses, then shows the pinned host key, and no other before.
  const heard: string[] = []
  host = await attach(AbortSignal.timeout(60_000), (why) => heard.push(why))
  expect(heard.filter((why) => /host key/.test(why))).toEqual([])
  await host.ready(AbortSignal.timeout(60_000))
  await importShellImage(tested)
  await host.writeFile('trainer.sh', trainer, never)
  const gateway = await docker('inspect', '--format', '{{.NetworkSettings.Gateway}}', tested.machine.name)
  store = await startStore(undefined, gateway)
  const { machine, keysFor } = tested
  target = { host: machine.host, port: 22, user: 'ubuntu', keys: keysFor(machine.name) }
}, 120_000)

afterAll(async () => {
  host?.close()
  store?.close()
  await tested?.remove()
})

describe('a machine over SSH', { timeout: 60_000 }, () => {
  hostContract(() => ({ host, attach, image: shellImage, store }))
})

const withSsh = async <Result>(work: (ssh: Ssh) => Promise<Result>): Promise<Result> => {
  const ssh = await openSsh(target, never)
  try {
    return await work(ssh)
  } finally {
    ssh.close()
  }
}

test('arguments arrive as they are, whatever a shell would make of them', async () => {
  const words = [
    '',
    ' ',
    "it's",
    '"',
    '$(id)',
    '`id`',
    '\n',
    'a\nb',
    '\\',
    '*',
    '~',
    '-n',
    'ü',
    ';',
    '&&',
    '#',
    '!!',
    "'\\''",
    '=x',
    'A=b',
  ]
  const result = await withSsh((ssh) =>
    ssh.run(['printf', '%s\\0', ...words], { signal: never, limitMs: 10_000 }),
  )
  expect(result.stdout.toString().split('\0').slice(0, -1)).toEqual(words)
})

test('a command’s status, signal, input and both outputs come back', async () => {
  await withSsh(async (ssh) => {
    const options = { signal: never, limitMs: 10_000 }
    const one = await ssh.run(['sh', '-c', 'cat; echo no >&2; exit 7'], { ...options, input: 'yes' })
    expect({ ...one, stdout: one.stdout.toString() }).toEqual({
      exitCode: 7,
      signal: undefined,
      stdout: 'yes',
      stderr: 'no\n',
    })
    // A command that ends as it starts: its exit comes with the answer that it was started.
    for (let times = 0; times < 100; times++) {
      const killed = await ssh.run(['sh', '-c', 'kill -KILL $$'], options)
      expect(killed).toMatchObject({ exitCode: undefined, signal: 'SIGKILL' })
    }
  })
}, 30_000)

test('a command past its limit is stopped, and one that floods is not kept in memory', async () => {
  await withSsh(async (ssh) => {
    const slow = ssh.run(['sleep', '1000'], { signal: never, limitMs: 100 })
    await expect(slow).rejects.toMatchObject({ reason: 'step-overran' })
    const flood = ssh.run(['cat', '/dev/zero'], { signal: never, limitMs: 10_000, maxBytes: 1000 })
    await expect(flood).rejects.toThrow('cat /dev/zero wrote more than 1000 bytes')
    expect(await ssh.run(['true'], { signal: never, limitMs: 10_000 })).toMatchObject({ exitCode: 0 })
  })
})

test('lines are cut and cleaned, and a listener that throws ends its command alone', async () => {
  await withSsh(async (ssh) => {
    const lines: string[] = []
    const script =
      'head -c 100000 /dev/zero | tr "\\0" x; echo; printf "\\033[31mred\\033[0m\\007\\r\\n"; printf end'
    await ssh.follow(['sh', '-c', script], (line) => lines.push(line), { signal: never })
    expect(lines.map((line) => line.length)).toEqual([65_536, 3, 3])
    expect(lines.slice(1)).toEqual(['red', 'end'])
    const broken = ssh.follow(
      ['echo', 'x'],
      () => {
        throw new Error('mine')
      },
      { signal: never },
    )
    await expect(broken).rejects.toThrow('mine')
    expect(ssh.closed).toBe(false)
  })
})

test('another host key than the pinned one is refused before the login', async () => {
  const keys = { ...target.keys, hostPublicKey: machineKeys(new Secret('x'), 'x').hostPublicKey }
  const refused = openSsh({ ...target, keys }, never)
  await expect(refused).rejects.toMatchObject({ reason: 'machine-broken', message: /another host key/ })
})

test('a login key that the machine does not know is reported, and tried until the signal aborts', async () => {
  const keys = { ...machineKeys(new Secret('x'), 'x'), hostPublicKey: target.keys.hostPublicKey }
  const enough = new AbortController()
  const heard = vi.fn(() => enough.abort(new Error('enough')))
  const session = openSession({ target: { ...target, keys }, onWait: heard }, enough.signal)
  await expect(session).rejects.toThrow('enough')
  expect(heard).toHaveBeenCalledWith(expect.stringMatching(/authentication methods failed/))
})

test('nothing but the key is offered: no password, not even none', async () => {
  const methods: string[] = []
  const hostKey = target.keys.hostPrivateKey.reveal()
  const server = new ssh2.Server({ hostKeys: [hostKey] }, (client) => {
    client.on('error', () => {})
    client.on('authentication', (context) => {
      methods.push(context.method)
      context.reject(['password', 'keyboard-interactive', 'publickey'])
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server as never, 'listening')
  const { port } = server.address() as AddressInfo
  await expect(openSsh({ ...target, host: '127.0.0.1', port }, never)).rejects.toBeInstanceOf(ConnectionLost)
  server.close()
  expect(new Set(methods)).toEqual(new Set(['publickey']))
})

test('a machine that can’t be reached is given up when the signal aborts', async () => {
  const reason = new Error('enough')
  const abort = new AbortController()
  const session = openSession({ target: { ...target, port: 1 } }, abort.signal)
  abort.abort(reason)
  await expect(session).rejects.toBe(reason)
})

test('the trainer has no network, no root, no privilege and a read-only image', async () => {
  const container = containerOf(shellImage, 'looks')
  await host.startTrainer(container, never)
  const lines: string[] = []
  const { tail } = await host.followTrainer(container.name, (line) => lines.push(line), never)
  expect(lines.slice(0, 4)).toEqual(['{"step":1}', '10001', 'lo', 'tmp: yes'])
  expect(lines).toContain('CapBnd: 0000000000000000')
  expect(lines).toContain('NoNewPrivs: 1')
  expect(tail.join()).toContain('Read-only file system')
})

test('the trainer is not the login user, and may still change the checkpoint that was brought for it', async () => {
  expect(await tested.inside('id -u ubuntu; getent passwd 10001 || echo nobody')).toMatch(/^1000\nnobody$/)
  const archive = pack()
  archive.entry({ name: 'step/state' }, '1\n')
  archive.finalize()
  const content = await buffer(archive)
  store.objects.set('/step.tar', content)
  const sha256 = createHash('sha256').update(content).digest('hex')
  const file = { url: store.url('/step.tar'), path: 'checkpoint', size: content.length, sha256, unpack: true }
  expect(await host.download([file], () => {}, never)).toEqual([])
  const container = containerOf(shellImage, 'continues')
  await host.startTrainer(container, never)
  const lines: string[] = []
  await host.followTrainer(container.name, (line) => lines.push(line), never)
  expect(lines).toEqual(['{"step":1}', '1', 'changed'])
  expect((await host.readFile('checkpoint/step/state', 100, never))?.toString()).toBe('2\n')
})

test('what the store has lost or changed is told of where it may be, and the rest is fetched', async () => {
  const content = Buffer.from('as it was')
  store.objects.set('/whole', content)
  store.objects.set('/changed', Buffer.from('as it is.'))
  store.objects.set('/cut', content.subarray(1))
  const sha256 = createHash('sha256').update(content).digest('hex')
  const files = ['whole', 'changed', 'cut', 'missing'].map((name) => ({
    ...{ url: store.url(`/${name}`), path: `spoilt/${name}`, size: content.length, sha256 },
    maySpoil: true,
  }))
  const spoilt = await host.download(files, () => {}, never)
  expect([...spoilt].sort()).toEqual(['spoilt/changed', 'spoilt/cut', 'spoilt/missing'])
  expect((await host.readFile('spoilt/whole', 100, never))?.toString()).toBe('as it was')
  expect(await tested.inside('ls /job/spoilt')).toBe('whole')
}, 60_000)

test('an image that declares a VOLUME is refused before anything of it runs', async () => {
  const image = 'localhost/bellows-test/volume:1'
  await tested.inside(`tar -c -T /dev/null | podman import --change 'VOLUME /data' - ${image}`)
  const refused = host.pull(image, () => {}, never)
  await expect(refused).rejects.toMatchObject({
    reason: 'bad-request',
    message: /declares a VOLUME \(\/data\)/,
  })
})

test('an image that has a digest runs by it, whatever its tag leads to by then', async () => {
  const digest = await host.imageDigest(shellImage, never)
  expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/)
  const image = pinned(shellImage, digest ?? '')
  await host.pull(image, () => {}, never)
  const container = containerOf(image, 'trains')
  await host.startTrainer(container, never)
  expect(await host.followTrainer(container.name, () => {}, never)).toMatchObject({ exitCode: 0 })
})

test('a container that has exited is believed over a log that never ends, and no line is lost', async () => {
  const wrapper = '#!/bin/sh\n/usr/bin/docker "$@"; code=$?\n[ "$1" = logs ] && exec sleep 1000\nexit $code\n'
  await tested.inside(
    `printf '${wrapper.replaceAll('\n', '\\n')}' > /usr/local/sbin/docker; chmod +x /usr/local/sbin/docker`,
  )
  try {
    const container = containerOf(shellImage, 'trains')
    await host.startTrainer(container, never)
    const lines: string[] = []
    const exit = await host.followTrainer(container.name, (line) => lines.push(line), never)
    expect(lines).toEqual(['{"step":1}', '{"step":2}', '{"step":3}'])
    expect(exit).toEqual({ exitCode: 0, outOfMemory: false, tail: lines })
  } finally {
    await tested.inside('rm /usr/local/sbin/docker; pkill -x sleep || true')
  }
}, 60_000)

test('a trainer that takes more memory than it has is known to have run out of it', async () => {
  const container = { ...containerOf(shellImage, 'gorges'), memoryBytes: 64 * 2 ** 20 }
  await host.startTrainer(container, never)
  const exit = await host.followTrainer(container.name, () => {}, never)
  expect(exit).toMatchObject({ exitCode: 137, outOfMemory: true })
}, 30_000)

test('a follower whose connection is cut again and again sees every line once', async () => {
  const container = containerOf(shellImage, 'counts')
  await host.startTrainer(container, never)
  const lines: string[] = []
  const cut = () => tested.inside('kill $(pgrep -f "sshd-session: ubuntu@notty")').catch(() => {})
  await host.followTrainer(
    container.name,
    (line) => {
      lines.push(line)
      if (lines.length === 5 || lines.length === 25 || lines.length === 45) void cut()
      if (lines.length === 70) void tested.inside('touch /job/enough')
    },
    never,
  )
  expect(lines.length).toBeGreaterThanOrEqual(70)
  expect(lines).toEqual(lines.map((_, index) => `{"step":${index + 1}}`))
}, 60_000)

test('a spot notice reaches the worker, with the GPU’s load and the disk’s room', async () => {
  tested.setMetadata('meta-data/spot/instance-action', '{"action":"terminate","time":"2026-11-23T08:22:00Z"}')
  const abort = new AbortController()
  const heard = new Map<string, MachineEvent>()
  await host.watch((notice) => {
    heard.set(notice.kind, notice)
    if (['spot', 'disk', 'gpu'].every((kind) => heard.has(kind))) abort.abort()
  }, abort.signal)
  expect(heard.get('spot')).toEqual({
    kind: 'spot',
    action: 'terminate',
    at: new Date('2026-11-23T08:22:00Z'),
  })
  expect(heard.get('disk')).toMatchObject({ freeBytes: expect.any(Number) })
  expect(heard.get('gpu')).toMatchObject({ utilisationPercent: expect.any(Number) })
}, 20_000)

test('an image that the machine has is not pulled, and one that no registry has ends in a sentence', async () => {
  const messages: string[] = []
  await host.pull(shellImage, (message) => messages.push(message), never)
  expect(messages).toEqual([])
  const missing = host.pull('localhost/bellows-test/missing:1', () => {}, never)
  await expect(missing).rejects.toMatchObject({
    reason: 'registry-failed',
    message: /^localhost could not be reached for the image localhost\/bellows-test\/missing:1: /,
  })
}, 60_000)

test('no URL is seen in the machine’s list of processes while it is fetched', async () => {
  const asked = Promise.withResolvers<void>()
  const silent = () => {
    asked.resolve()
    return true
  }
  const slow = await startStore(silent, new URL(store.url('/')).hostname)
  const abort = new AbortController()
  const file = { url: slow.url('/file'), path: 'file', size: 10, sha256: undefined }
  const download = host.download([file], () => {}, abort.signal).catch((error) => error)
  await asked.promise
  const processes = await tested.inside('cat /proc/[0-9]*/cmdline | tr "\\0" " "')
  abort.abort(new Error('seen enough'))
  await download
  slow.close()
  expect(processes).toContain('python3 -B')
  expect(processes).not.toMatch(/X-Signature|\/file/)
})

test('the switch-off time is moved to where the machine looks for it', async () => {
  const before = await tested.inside('cat /var/lib/bellows/deadline')
  const later = new Date(Number(before) * 1000 - 60_000)
  await host.setDeadline(later, never)
  expect(await tested.inside('cat /var/lib/bellows/deadline')).toBe(String(Number(before) - 60))
})

test('a machine that falls silent is noticed within 30 s, and is lost when it stays so', async () => {
  const session = await openSession({ target, reconnectMs: 1000 }, never)
  const ssh = await openSsh(target, never)
  const wait = (over: Ssh, onLine: () => void) =>
    over.follow(['sh', '-c', 'echo started; sleep 1000'], onLine, { signal: never })
  const both = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const
  const broken = wait(ssh, both[0].resolve).catch((error) => ({ error, at: Date.now() }))
  const lost = session.use((over) => wait(over, both[1].resolve), never).catch((error) => error)
  await Promise.all(both.map(({ promise }) => promise))
  await docker('pause', tested.machine.name)
  const begun = Date.now()
  try {
    const noticed = await broken
    expect(noticed).toMatchObject({ error: expect.any(ConnectionLost) })
    expect('at' in noticed && noticed.at - begun).toBeLessThan(30_000)
    expect(await lost).toMatchObject({ reason: 'machine-lost' })
  } finally {
    await docker('unpause', tested.machine.name)
    session.close()
  }
}, 60_000)
