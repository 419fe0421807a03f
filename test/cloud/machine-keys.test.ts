import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import ssh2 from 'ssh2'
import { expect, test } from 'vitest'
import { machineKeys } from '../../src/cloud/machine-keys.ts'
import { Secret } from '../../src/secret.ts'

const secret = new Secret('0123456789abcdef0123456789abcdef')

test('any worker with the same secret makes the same keys for a machine', () => {
  const here = machineKeys(secret, 'bellows-a-1')
  const there = machineKeys(new Secret(secret.reveal()), 'bellows-a-1')
  expect(there.loginPublicKey).toBe(here.loginPublicKey)
  expect(there.loginPrivateKey.reveal()).toBe(here.loginPrivateKey.reveal())
  expect(there.hostPrivateKey.reveal()).toBe(here.hostPrivateKey.reveal())
})

test('another machine, another secret and another purpose give other keys', () => {
  const keys = [
    machineKeys(secret, 'bellows-a-1'),
    machineKeys(secret, 'bellows-a-2'),
    machineKeys(new Secret('another'), 'bellows-a-1'),
  ].flatMap((pair) => [pair.loginPublicKey, pair.hostPublicKey])
  expect(new Set(keys.map((key) => key.split(' ')[1])).size).toBe(6)
})

test('ssh2 reads the private key, and it belongs to the public one', () => {
  for (const name of ['a', 'ab', 'abc', 'abcd', 'abcde', 'abcdef', 'abcdefg', 'abcdefgh']) {
    const keys = machineKeys(secret, name)
    const parsed = ssh2.utils.parseKey(keys.loginPrivateKey.reveal())
    if (parsed instanceof Error) throw parsed
    expect(parsed.getPublicSSH().toString('base64')).toBe(keys.loginPublicKey.split(' ')[1])
    expect(parsed.verify('signed', parsed.sign('signed'))).toBe(true)
  }
})

test('ssh-keygen reads the private key and finds the same public key', (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'bellows-keys-'))
  try {
    const keys = machineKeys(secret, 'bellows-a-1')
    const file = join(folder, 'key')
    writeFileSync(file, keys.hostPrivateKey.reveal(), { mode: 0o600 })
    expect(execFileSync('ssh-keygen', ['-y', '-f', file], { encoding: 'utf8' }).trim()).toBe(
      keys.hostPublicKey,
    )
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    context.skip('ssh-keygen is not installed')
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('private keys do not show when they are logged', () => {
  expect(JSON.stringify(machineKeys(secret, 'a'))).not.toContain('PRIVATE')
})
