import { expect, test } from 'vitest'
import { asError, systemErrorIn, systemErrorOf } from '../../../src/cloud/pulumi/system-error.ts'
import { workerFault } from '../../../src/worker-fault.ts'

test.each([
  ['error: write /tmp/a/out.json: no space left on device', 'ENOSPC', 'write'],
  ['error: could not create stack: open /state/x: read-only file system', 'EROFS', 'open'],
  ['mkdir /var/lib/x: permission denied', 'EACCES', 'mkdir'],
  ['fork/exec /opt/pulumi-resource-aws: permission denied', 'EACCES', 'spawn'],
  ['fork/exec /opt/pulumi-resource-aws: cannot allocate memory', 'ENOMEM', 'spawn'],
  ['open /tmp/x: too many open files', 'EMFILE', 'open'],
  ['write /tmp/x: disk quota exceeded', 'EDQUOT', 'write'],
  ['read /tmp/x: input/output error', 'EIO', 'read'],
  ['Error: ENOSPC: no space left on device, write\n    at node:fs', 'ENOSPC', 'write'],
  ["EROFS: read-only file system, mkdir '/tmp/x'", 'EROFS', 'mkdir'],
])('in the engine’s text, %s, a fault of this worker is found', (text, code, syscall) => {
  expect(systemErrorIn(text)).toMatchObject({ code, syscall })
  expect(workerFault(asError(systemErrorIn(text), 'pulumi'))).toContain('this worker')
})

test.each([
  'api error UnauthorizedOperation: permission denied',
  'the trainer said: no space left on device',
  'open /tmp/x: no such file or directory',
  'dial tcp 127.0.0.1:443: connect: permission denied',
])('what is no fault of this worker’s own files is not: %s', (text) => {
  expect(systemErrorIn(text)).toBeUndefined()
})

test('an error of the Automation API has the system’s in its result', () => {
  const err = Object.assign(new Error('spawn pulumi ENOENT'), {
    code: 'ENOENT',
    syscall: 'spawn pulumi',
    path: 'pulumi',
  })
  const found = systemErrorOf(Object.assign(new Error('code: -2'), { commandResult: { err } }))
  expect(found).toEqual({ code: 'ENOENT', syscall: 'spawn pulumi', path: 'pulumi' })
  expect(workerFault(asError(found, '/opt/pulumi'))).toBe(
    'the command /opt/pulumi was not found on this worker',
  )
  expect(systemErrorOf(new Error('nothing of the kind'))).toBeUndefined()
  expect(asError(undefined, 'pulumi')).toBeUndefined()
})
