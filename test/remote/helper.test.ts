/** What a worker makes of the lines that the helper on a machine answers; all of it is untrusted. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Machine } from '../../src/cloud/machines.ts'
import { callHelper, type HelperEvent, installHelper } from '../../src/remote/helper.ts'
import type { MachineEvent } from '../../src/remote/host.ts'
import { sshRemote } from '../../src/remote/ssh-remote.ts'
import { type Answer, type ScriptedMachine, startScriptedMachine } from './scripted-machine.ts'

const signal = new AbortController().signal
const sum = 'a'.repeat(64)
let machine: ScriptedMachine
beforeAll(async () => {
  machine = await startScriptedMachine()
})
afterAll(() => machine.close())

const lines = (...events: readonly (object | string)[]) =>
  events.map((event) => `${typeof event === 'string' ? event : JSON.stringify(event)}\n`).join('')

/** The helper is there, and answers so. */
function helper(answer: Answer) {
  return machine.follow((command) => (command.startsWith('python3') ? answer : {}))
}

async function called(answer: Answer) {
  helper(answer)
  const events: HelperEvent[] = []
  const job = { operation: 'read', path: 'x' }
  const done = await machine.session.use(
    (ssh) => callHelper(ssh, job, (event) => events.push(event), signal),
    signal,
  )
  return { events, done }
}

const done = { event: 'done' }

test('each kind of event is handed over, without what a terminal would obey', async () => {
  const events = [
    { event: 'progress', bytes: 1, totalBytes: 2 },
    { event: 'content', start: 0, base64: 'YQ==' },
    { event: 'file', path: 'out/a', size: 3, sha256: sum },
    { event: 'spoilt', path: 'dataset' },
    { event: 'part', index: 0, etag: '"e"' },
    { event: 'notice', notice: { kind: 'gpu', utilisationPercent: 5, memoryUsedMb: 6 } },
    { event: 'notice', notice: { kind: 'xid', code: 79, line: 'Xid' } },
    { event: 'notice', notice: { kind: 'disk', freeBytes: 7 } },
    ...['spot', 'gpu', 'disk', 'kernel log'].map((source) => ({
      event: 'notice',
      notice: { kind: 'unreadable', source, detail: 'why' },
    })),
  ]
  const spot = { kind: 'spot', action: 'terminate\u001b[2J', at: '2026-01-02T03:04:05Z' }
  const said = await called({ stdout: lines(...events, { event: 'notice', notice: spot }, done) })
  expect(said.events).toEqual([
    ...events,
    { event: 'notice', notice: { kind: 'spot', action: 'terminate', at: new Date('2026-01-02T03:04:05Z') } },
  ])
})

test.each<object>([
  { event: 'progress', bytes: -1, totalBytes: 2 },
  { event: 'progress', bytes: 'many', totalBytes: 2 },
  { event: 'content', start: 0, base64: '!' },
  { event: 'file', path: 'out/a', size: 3, sha256: 'a' },
  { event: 'part', index: -1, etag: 'e' },
  { event: 'part', index: 0.5, etag: 'e' },
  { event: 'notice', notice: { kind: 'fire' } },
  { event: 'notice', notice: { kind: 'unreadable', source: 'sky', detail: 'why' } },
  { event: 'owned' },
])('%j is no event, and stops nothing', async (event) => {
  expect((await called({ stdout: lines(event, 'no JSON', done) })).events).toEqual([])
})

test('its end carries what was found, and a size and a sum', async () => {
  const end = { ...done, found: true, size: 5, sha256: sum }
  expect((await called({ stdout: lines(end) })).done).toEqual(end)
})

test.each([
  ['store-failed', 'store-failed'],
  ['no-such-reason', 'internal'],
])('a helper that failed with %s has failed with %s, in its own words', async (reason, expected) => {
  const failed = { event: 'failed', reason, detail: 'it was\u001b[2J not there' }
  await expect(called({ stdout: lines(failed), exitCode: 1 })).rejects.toMatchObject({
    reason: expected,
    message: 'it was not there',
  })
})

test('one that ends without an answer is told with its last words', async () => {
  await expect(called({ stderr: 'Traceback\nMemoryError\n', exitCode: 1 })).rejects.toMatchObject({
    reason: 'internal',
    message: 'the helper ended its read with exit status 1 and no answer',
    evidence: 'Traceback\nMemoryError',
  })
  await expect(called({ exitCode: 137 })).rejects.toThrow('exit status 137 and no answer')
})

test('one that was left alone is asked again on another connection', async () => {
  let asked = 0
  machine.follow((command) => {
    if (!command.startsWith('python3')) return {}
    return asked++ === 0 ? { exitCode: 1 } : { stdout: lines(done) }
  })
  const call = machine.session.use((ssh) => callHelper(ssh, { operation: 'list' }, () => {}, signal), signal)
  expect(await call).toEqual(done)
  expect(asked).toBe(2)
})

test('it is put on the machine once, under a name that says what it holds', async () => {
  const install = () => machine.session.use((ssh) => installHelper(ssh, signal), signal)
  const there = machine.follow(() => ({}))
  await install()
  expect(there).toEqual([expect.stringMatching(/^test -d \.bellows\/[0-9a-f]{16}$/)])
  const absent = machine.follow((command) => ({ exitCode: command.startsWith('test') ? 1 : 0 }))
  await install()
  expect(absent[1]).toMatch(/^sh -c .* install-folder \.bellows\/[0-9a-f]{16}$/s)
  machine.follow((command) =>
    command.startsWith('test') ? { exitCode: 1 } : { exitCode: 2, stderr: 'no room' },
  )
  await expect(install()).rejects.toMatchObject({
    reason: 'machine-broken',
    message: 'the helper cannot be installed: no room',
  })
})

test('a machine over SSH says what its helper found', async () => {
  const { host: address, port, user, keys } = machine.target
  const remote = sshRemote({ user, port, keysFor: () => keys })
  const host = await remote.connect({ name: 'one', host: address } as Machine, signal)
  try {
    helper({
      stdout: lines(
        { event: 'content', start: 0, base64: 'YQ==' },
        { event: 'content', start: 1, base64: 'Yg==' },
        { ...done, found: true },
      ),
    })
    expect((await host.readFile('/job/out/x', 10, signal))?.toString()).toBe('ab')
    helper({ stdout: lines({ ...done, found: false }) })
    expect(await host.readFile('out/x', 10, signal)).toBeUndefined()

    const progress: unknown[] = []
    helper({
      stdout: lines(
        { event: 'progress', bytes: 1, totalBytes: 4 },
        { event: 'spoilt', path: 'checkpoint' },
        done,
      ),
    })
    expect(await host.download([], (each) => progress.push(each), signal)).toEqual(['checkpoint'])
    expect(progress).toEqual([{ bytes: 1, totalBytes: 4 }])

    helper({ stdout: lines({ event: 'file', path: 'out/samples/1.png', size: 2, sha256: sum }, done) })
    expect(await host.outputs('out', signal)).toEqual([{ path: 'samples/1.png', size: 2, sha256: sum }])

    helper({
      stdout: lines({ event: 'part', index: 1, etag: 'b' }, { event: 'part', index: 0, etag: 'a' }, done),
    })
    const upload = {
      ref: { bucket: 'work', key: 'k' },
      uploadId: 'u',
      partBytes: 1,
      urls: ['x', 'y'],
    } as const
    expect(await host.upload('out/x', upload, () => {}, signal)).toEqual(['a', 'b'])

    helper({ stdout: lines({ ...done, size: 9, sha256: sum }) })
    expect(await host.uploadFolder('checkpoint', 'https://x', signal)).toEqual({ size: 9, sha256: sum })

    const notices: MachineEvent[] = []
    helper({
      stdout: lines({ event: 'notice', notice: { kind: 'disk', freeBytes: 7 } }),
      exitCode: 1,
      afterwards: 'drops',
    })
    await host.watch((notice) => notices.push(notice), signal) // ends without a word when its connection does
    expect(notices).toEqual([{ kind: 'disk', freeBytes: 7 }])
  } finally {
    host.close()
  }
})

test('a boot that failed is told with what the machine said; so is a deadline that it did not take', async () => {
  const { host: address, port, user, keys } = machine.target
  const host = await sshRemote({ user, port, keysFor: () => keys }).connect(
    { name: 'one', host: address } as Machine,
    signal,
  )
  try {
    machine.follow(() => ({}))
    await host.ready(signal)
    const commands = machine.follow(() => ({}))
    await host.setDeadline(new Date('2026-01-01T00:00:00.900Z'), signal)
    expect(commands).toEqual([
      expect.stringMatching(/ set-deadline 1767225600 \/var\/lib\/bellows\/deadline$/s),
    ])
    machine.follow(() => ({ exitCode: 3, stdout: 'no driver\n' }))
    await expect(host.ready(signal)).rejects.toMatchObject({
      reason: 'machine-broken',
      evidence: 'no driver',
    })
    machine.follow(() => ({ exitCode: 1, stderr: 'read-only' }))
    await expect(host.setDeadline(new Date(), signal)).rejects.toMatchObject({
      reason: 'machine-broken',
      message: 'the machine did not take its deadline: read-only',
    })
  } finally {
    host.close()
  }
})

test('of what a command puts out a bounded part is kept: the end of its complaints, and of its answer no more than was asked for', async () => {
  const run = (options: object) =>
    machine.session.use((ssh) => ssh.run(['cat', 'log'], { signal, limitMs: 20_000, ...options }), signal)
  machine.follow(() => ({ stderr: `${'a'.repeat(100_000)}${'b'.repeat(65_536)}`, stdout: 'x'.repeat(1000) }))
  const { stderr, stdout, exitCode } = await run({ maxBytes: 1000 })
  expect([stderr.length, stderr.includes('a'), stdout.length, exitCode]).toEqual([65_536, false, 1000, 0])
  await expect(run({ maxBytes: 999 })).rejects.toThrow('cat log wrote more than 999 bytes')
})
