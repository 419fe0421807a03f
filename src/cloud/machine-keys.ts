/**
 * SSH keys of one machine: the worker's login key and the machine's host key. Both follow from the
 * deployment's secret and the machine's name (HKDF-SHA256, RFC 5869), so that any worker can make them
 * again and none is stored. Knowing one machine's keys tells nothing about another's.
 */
import { createPrivateKey, createPublicKey, hkdfSync } from 'node:crypto'
import { Secret } from '../secret.ts'

export type MachineKeys = {
  /** `ssh-ed25519 AAAA… name`, as in authorized_keys. */
  readonly loginPublicKey: string
  /** OpenSSH's PEM, without a passphrase. */
  readonly loginPrivateKey: Secret
  readonly hostPublicKey: string
  readonly hostPrivateKey: Secret
}

/** `secret` should hold 32 random bytes or more; the same secret and name give the same keys, byte for byte. */
export const machineKeys = (secret: Secret, name: string): MachineKeys => {
  const login = keyPair(seedOf(secret, 'login', name), name)
  const host = keyPair(seedOf(secret, 'host', name), name)
  return {
    loginPublicKey: login.publicKey,
    loginPrivateKey: login.privateKey,
    hostPublicKey: host.publicKey,
    hostPrivateKey: host.privateKey,
  }
}

const seedOf = (secret: Secret, purpose: 'login' | 'host', name: string): Buffer =>
  Buffer.from(hkdfSync('sha256', secret.reveal(), 'bellows machine keys 1', `${purpose} ${name}`, 32))

/** An Ed25519 private key in PKCS #8 is this, then its 32 bytes (RFC 8410). */
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex')

const keyPair = (seed: Buffer, comment: string): { publicKey: string; privateKey: Secret } => {
  const key = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: 'der', type: 'pkcs8' })
  const point = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
  const blob = Buffer.concat([string('ssh-ed25519'), string(point)])
  return {
    publicKey: `ssh-ed25519 ${blob.toString('base64')} ${comment}`,
    privateKey: new Secret(openSshPem(seed, point, blob, comment)),
  }
}

/** The format of OpenSSH's PROTOCOL.key: no cipher, no key derivation, one key. */
const openSshPem = (seed: Buffer, point: Buffer, blob: Buffer, comment: string): string => {
  // Two equal numbers tell a decryptor that its passphrase was right; any number does without one.
  const check = point.subarray(0, 4)
  const pair = [string('ssh-ed25519'), string(point), string(Buffer.concat([seed, point])), string(comment)]
  const body = Buffer.concat([check, check, ...pair])
  const padding = Buffer.from(Array.from({ length: (8 - (body.length % 8)) % 8 }, (_, index) => index + 1))
  const whole = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    string('none'),
    string('none'),
    string(''),
    number(1),
    string(blob),
    string(Buffer.concat([body, padding])),
  ])
  const lines = whole.toString('base64').match(/.{1,70}/g) ?? []
  return ['-----BEGIN OPENSSH PRIVATE KEY-----', ...lines, '-----END OPENSSH PRIVATE KEY-----', ''].join('\n')
}

/** SSH's own encoding: a length of 4 bytes, then the bytes. */
const string = (value: string | Buffer): Buffer => {
  const bytes = Buffer.from(value)
  return Buffer.concat([number(bytes.length), bytes])
}

const number = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
