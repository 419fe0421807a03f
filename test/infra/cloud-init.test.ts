import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { type FirstBoot, firstBootUserData } from '../../infra/cloud-init.ts'
import { multipart } from '../../infra/multipart.ts'
import { machineKeys } from '../../src/cloud/machine-keys.ts'
import { trainerUser } from '../../src/remote/argv.ts'
import { Secret } from '../../src/secret.ts'
import { partsOf } from '../support/mime.ts'

const boot: FirstBoot = {
  hostPrivateKey: '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\nBBBB=\n-----END OPENSSH PRIVATE KEY-----\n',
  authorizedKey: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA worker',
  lifetimeSeconds: 3_600,
  hardDeadline: new Date('2027-01-01T06:00:00Z'),
}

/** Longer than the first process of any computer that tests run on has run. */
const years = 1e8

/** The three parts of it, by what cloud-init does with them. */
function partsOfBoot(given = boot) {
  const parts = partsOf(firstBootUserData(given))
  expect(parts.map(({ type }) => type)).toEqual([
    'text/cloud-boothook',
    'text/cloud-config',
    'text/x-shellscript',
  ])
  const [boothook = '', config = '', script = ''] = parts.map(({ text }) => text)
  return { boothook, config, script }
}

describe('the first boot', () => {
  test('has a boothook and a script that bash can read, and so is the loop inside', () => {
    const { boothook, script } = partsOfBoot()
    for (const text of [boothook, script]) {
      expect(text.startsWith('#!/bin/bash\n')).toBe(true)
      execFileSync('bash', ['-n'], { input: text })
    }
    const loop = /watch\.part << 'BELLOWS'\n([\s\S]*?)\nBELLOWS\n/.exec(boothook)?.[1]
    expect(loop).toContain('shutdown -h now')
    execFileSync('bash', ['-n'], { input: loop })
  })

  test('sets the switch-off time before all else, in a part that runs before sshd', () => {
    const { boothook, script } = partsOfBoot()
    expect(boothook).toContain('/usr/local/sbin/bellows-deadline')
    expect(boothook).not.toContain('sshd')
    expect(script.indexOf('[ -x /usr/local/sbin/bellows-deadline ]')).toBeGreaterThan(0)
    expect(script.indexOf('bellows-deadline')).toBeLessThan(script.indexOf('sshd_config'))
  })

  test('waits for no other service to arm it: the boot has not come to them', () => {
    expect(partsOfBoot().boothook).toContain(
      '[Unit]\nDescription=Switches the machine off at its deadline\nDefaultDependencies=no\n',
    )
  })

  test('gives sshd the pinned key and no other, and puts it into no script', () => {
    const { boothook, config, script } = partsOfBoot()
    const [first, ...json] = config.split('\n')
    expect(first).toBe('#cloud-config')
    expect(JSON.parse(json.join('\n'))).toEqual({
      ssh_deletekeys: true,
      ssh_keys: { ed25519_private: boot.hostPrivateKey },
    })
    expect(script).toContain('\nHostKey /etc/ssh/ssh_host_ed25519_key\n')
    expect(boothook + script).not.toContain('PRIVATE KEY')
  })

  test('lets in only the user that the worker logs in as', () => {
    const { script } = partsOfBoot({ ...boot, loginUser: 'ec2-user' })
    expect(script).toContain('\nAllowUsers ec2-user\n')
    expect(script).toContain('getent passwd ec2-user ')
    expect(script).not.toContain('ubuntu')
    expect(partsOfBoot().script).toContain('\nAllowUsers ubuntu\n')
  })

  test('with keys as they are made has room to spare in what EC2 takes', () => {
    const keys = machineKeys(new Secret('s'.repeat(32)), `bellows-${'0'.repeat(24)}-12`)
    const userData = firstBootUserData({
      ...boot,
      hostPrivateKey: keys.hostPrivateKey.reveal(),
      authorizedKey: keys.loginPublicKey,
    })
    expect(Buffer.byteLength(userData)).toBeLessThan(16_384 / 2)
  })

  test('refuses a machine where the trainer’s user id is taken, such as by the login user', () => {
    const [user, group] = trainerUser.split(':')
    expect(group).toBe(user)
    const { script } = partsOfBoot()
    expect(script).toContain(`\nnobody_is ${user}\n`)
    const check = /^nobody_is\(\) .*$/m.exec(script)?.[0]
    const judge = (id: string) =>
      spawnSync('bash', ['-c', `set -e; trap 'echo failed' ERR; ${check}\nnobody_is ${id}`]).stdout.toString()
    expect(judge('0')).toBe('failed\n')
    expect(judge('3999999')).toBe('')
  })

  test.each([
    ['counts the paid time from its start, not from its order', years, 2 * years, years],
    ['switches off at the hard deadline, however late it started', years, 60, 60],
  ])('%s', (_, lifetimeSeconds, hardSeconds, expected) => {
    const hardDeadline = new Date(Date.now() + hardSeconds * 1000)
    using machine = armed(partsOfBoot({ ...boot, lifetimeSeconds, hardDeadline }).boothook)
    const { deadline, loop } = machine.written()
    const end = expected === lifetimeSeconds ? expected - machine.age : expected
    expect(Math.abs(deadline - Date.now() / 1000 - end)).toBeLessThan(5)
    expect(loop).toContain(`hard_deadline=${deadline}\n`)
  })

  test('moves no deadline when it is booted again, neither the worker’s nor the hard one', () => {
    const { boothook } = partsOfBoot({ ...boot, lifetimeSeconds: years })
    using machine = armed(boothook)
    const { loop } = machine.written()
    writeFileSync(machine.deadlineFile, '1234567890\n')
    machine.boot(partsOfBoot({ ...boot, lifetimeSeconds: 2 * years }).boothook)
    expect(machine.written()).toEqual({ deadline: 1234567890, loop })
  })

  test('arms it again where the boot before was cut off while it was written', () => {
    const { boothook } = partsOfBoot()
    using machine = armed(boothook)
    const { loop } = machine.written()
    rmSync(machine.loopFile)
    writeFileSync(`${machine.loopFile}.part`, loop.slice(0, 40))
    machine.boot(boothook)
    expect(machine.written().loop).toMatch(/^#!\/bin\/bash\nhard_deadline=\d+\nread [\s\S]*\ndone\n$/)
  })

  test('opens to the trainer’s user the folders that trainers write to, and nothing else', () => {
    const opened = /^install -d -m 777 .*$/m.exec(partsOfBoot().script)?.[0].match(/\/job\/\w+/g)
    expect(opened).toEqual(['/job/out', '/job/checkpoint', '/job/cache'])
  })

  test('says that it is ready at its very end', () => {
    expect(partsOfBoot().script.endsWith('\ntouch /var/lib/bellows/ready\n')).toBe(true)
  })

  test.each([
    [
      'a key of another format',
      { hostPrivateKey: '-----BEGIN RSA PRIVATE KEY-----\nAA\n-----END RSA PRIVATE KEY-----' },
    ],
    ['a key that ends the quoted text', { hostPrivateKey: `${boot.hostPrivateKey}BELLOWS\nreboot\n` }],
    ['an authorized key with a quote in it', { authorizedKey: "ssh-ed25519 AAAA a'b" }],
    ['two authorized keys', { authorizedKey: 'ssh-ed25519 AAAA a\nssh-ed25519 BBBB b' }],
    ['a login user that is no user', { loginUser: 'ubuntu; reboot' }],
    ['no lifetime at all', { lifetimeSeconds: 0 }],
    ['a lifetime that is no number', { lifetimeSeconds: Number.NaN }],
    ['a hard deadline that is no date', { hardDeadline: new Date('soon') }],
  ])('refuses %s', (_, wrong) => {
    expect(() => firstBootUserData({ ...boot, ...wrong })).toThrow()
  })
})

test('parts of a document are text that no reader can take for anything else', () => {
  const part = (text: string) => () => multipart([{ type: 'text/plain', text }])
  expect(part('größe\n')).toThrow('The part text/plain is not plain ASCII')
  expect(part('--=bellows=\n')).toThrow('boundary')
  expect(partsOf(part('a\n\nb\n')())).toEqual([{ type: 'text/plain', text: 'a\n\nb\n' }])
})

/** A machine whose boothook has run, as far as the switch-off is written, below a folder of this computer. */
function armed(boothook: string) {
  const folder = mkdtempSync(path.join(tmpdir(), 'bellows-boot-'))
  const [deadlineFile, loopFile] = [`${folder}/deadline`, `${folder}/loop`]
  const run = (text: string) => {
    const input = text
      .slice(0, text.indexOf('if systemd; then'))
      .replaceAll('/var/lib/bellows', folder)
      .replaceAll('/usr/local/sbin/bellows-deadline', loopFile)
    execFileSync('bash', ['-euo', 'pipefail'], { input })
  }
  run(boothook)
  return {
    deadlineFile,
    loopFile,
    boot: run,
    /** Of this computer's first process, in seconds. */
    age: Number(execFileSync('ps', ['-o', 'etimes=', '-p', '1'], { encoding: 'utf8' })),
    written: () => ({
      deadline: Number(readFileSync(deadlineFile, 'utf8')),
      loop: readFileSync(loopFile, 'utf8'),
    }),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  }
}
