import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { execa } from 'execa'
import { expect, test } from 'vitest'
import { Failure } from '../src/failure.ts'
import { workerFault } from '../src/worker-fault.ts'

const systemError = (code: string, syscall?: string, file?: string) =>
  Object.assign(new Error(`${code}: as the system says it`), { code, syscall, path: file })

test.each([
  ['ENOSPC', 'write', undefined, 'the disk of this worker is full'],
  ['ENOSPC', 'mkdtemp', '/tmp/x-', 'the disk of this worker is full (/tmp/x-)'],
  ['EDQUOT', 'write', undefined, "the quota of this worker's disk is used up"],
  ['EIO', 'read', undefined, "the disk of this worker can't be read or written"],
  ['EROFS', 'open', '/tmp/a', 'this worker may only read what it must write (/tmp/a)'],
  ['EACCES', 'mkdir', '/var/x', 'this worker lacks a permission (/var/x)'],
  ['EPERM', 'unlink', '/var/x', 'this worker lacks a permission (/var/x)'],
  ['EMFILE', 'open', '/tmp/a', 'this worker has too many files open'],
  ['ENFILE', 'open', '/tmp/a', 'the computer of this worker has too many files open'],
  ['ENOMEM', undefined, undefined, 'the computer of this worker has no memory left'],
  ['EAGAIN', 'spawn docker', 'docker', 'this worker may start no more processes'],
  ['EACCES', 'spawn pulumi', 'pulumi', "the command pulumi can't be run on this worker"],
  ['ENOEXEC', 'spawn pulumi', 'pulumi', "the command pulumi can't be run on this worker"],
  ['ENOENT', 'spawn pulumi', undefined, 'the command pulumi was not found on this worker'],
  ['ENOENT', 'mkdtemp', '/gone/x-', "this worker can't make the folder /gone/x-"],
])('%s of %s (%s) is this worker’s own fault', (code, syscall, file, sentence) => {
  expect(workerFault(systemError(code, syscall, file))).toBe(sentence)
})

test.each([
  ['ENOENT', 'open'],
  ['EAGAIN', 'read'],
  ['EACCES', 'connect'],
  ['EPERM', 'connect'],
  ['ECONNREFUSED', 'connect'],
  ['ECONNRESET', 'read'],
  ['ETIMEDOUT', 'connect'],
  ['EAI_AGAIN', 'getaddrinfo'],
  ['EPIPE', 'write'],
])('%s of %s is not', (code, syscall) => {
  expect(workerFault(systemError(code, syscall, '/somewhere'))).toBeUndefined()
})

test.each([[undefined], [null], ['ENOSPC'], [new Error('ENOSPC')], [{ code: 28 }]])(
  'what is no error of the system is not: %s',
  (error) => {
    expect(workerFault(error)).toBeUndefined()
  },
)

test('it is found under whatever was wrapped around it', () => {
  const full = systemError('ENOSPC', 'write')
  const wrapped = new Failure('internal', 'no', { cause: new Error('around it', { cause: full }) })
  expect(workerFault(wrapped)).toBe('the disk of this worker is full')
})

test('a chain of causes that leads back to its start ends', () => {
  const error: { cause?: unknown } = new Error('the egg')
  error.cause = new Error('the hen', { cause: error })
  expect(workerFault(error)).toBeUndefined()
})

test('Node’s own errors are known: a missing program, a missing folder, a full device', async () => {
  const [missing] = await once(spawn('/nowhere/pulumi'), 'error')
  expect(workerFault(missing)).toBe('the command /nowhere/pulumi was not found on this worker')
  expect(workerFault(await execa('/nowhere/pulumi', { reject: false }))).toBe(
    'the command /nowhere/pulumi was not found on this worker',
  )
  const folder = path.join(tmpdir(), 'bellows-no-such-folder', 'x-')
  expect(workerFault(await mkdtemp(folder).catch((error) => error))).toContain("can't make the folder")
  expect(workerFault(await writeFile('/dev/full', 'x').catch((error) => error))).toContain('full')
})

test('a server that is not there is no fault of this worker', async () => {
  const socket = connect(1, '127.0.0.1')
  const [refused] = await once(socket, 'error')
  expect(workerFault(refused)).toBeUndefined()
})
