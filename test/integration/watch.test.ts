import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { jobFolder, startHelper } from './helper.ts'

/** A metadata service that wants a session token, as version 2 does. */
const startMetadata = async (action: string | undefined) => {
  const server = createServer((request, response) => {
    const withToken = request.headers['x-aws-ec2-metadata-token'] === 'token'
    if (request.method === 'PUT' && request.url === '/latest/api/token') response.end('token')
    else if (!withToken) response.writeHead(401).end()
    else if (action && request.url === '/latest/meta-data/spot/instance-action') response.end(action)
    else response.writeHead(404).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() }
}

test('spot notices, broken GPUs, their load and the disk’s room are told, each as it is', async () => {
  const metadata = await startMetadata('{"action":"terminate","time":"2026-11-23T08:22:00Z"}')
  const xid = 'NVRM: Xid (PCI:0000:00:1e): 79, pid=1, GPU has fallen off the bus.'
  const run = startHelper({
    operation: 'watch',
    root: tmpdir(),
    everySeconds: 0.05,
    metadata: metadata.url,
    kernelLog: ['printf', '%s\n', 'usb 1-1: new device', xid],
    gpu: ['printf', '93, 1024\n0, 512\n'],
  })
  const kinds = new Map<unknown, object>()
  while (!['spot', 'xid', 'gpu', 'disk'].every((kind) => kinds.has(kind))) {
    await once(run.child.stdout, 'data')
    for (const event of run.events) {
      const notice = event.notice as { kind: string }
      kinds.set(notice.kind, notice)
    }
  }
  run.child.stdin.end()
  await once(run.child, 'close')
  metadata.close()
  expect(kinds.get('spot')).toEqual({ kind: 'spot', action: 'terminate', at: '2026-11-23T08:22:00Z' })
  expect(kinds.get('xid')).toEqual({ kind: 'xid', code: 79, line: xid })
  expect(kinds.get('gpu')).toEqual({ kind: 'gpu', utilisationPercent: 93, memoryUsedMb: 1536 })
  expect(kinds.get('disk')).toMatchObject({ freeBytes: expect.any(Number) })
  expect(run.events.filter(({ notice }) => (notice as { kind: string }).kind === 'spot')).toHaveLength(1)
})

test('what a machine can’t read it says once, and reads as soon as it can', async () => {
  const { root, remove } = jobFolder()
  const run = startHelper({
    operation: 'watch',
    root,
    everySeconds: 0.05,
    metadata: 'http://127.0.0.1:1',
    kernelLog: ['no-such-command'],
    gpu: ['cat', join(root, 'gpu')],
  })
  const notices = () => run.events.map(({ notice }) => notice as { kind: string; source?: string })
  const told = () => notices().flatMap(({ kind, source }) => (kind === 'unreadable' ? [source] : []))
  while (told().length < 3 || notices().filter(({ kind }) => kind === 'disk').length < 5)
    await once(run.child.stdout, 'data')
  writeFileSync(join(root, 'gpu'), '50, 1000\n')
  while (!notices().some(({ kind }) => kind === 'gpu')) await once(run.child.stdout, 'data')
  run.child.stdin.end()
  await once(run.child, 'close')
  remove()
  expect(told().sort()).toEqual(['gpu', 'kernel log', 'spot'])
})
