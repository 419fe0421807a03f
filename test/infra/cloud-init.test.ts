import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { firstBootScript } from '../../infra/cloud-init.ts'
import { trainerUser } from '../../src/remote/argv.ts'

const boot = {
  hostPrivateKey: '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\nBBBB=\n-----END OPENSSH PRIVATE KEY-----\n',
  authorizedKey: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA worker',
  lifetimeSeconds: 3_600,
  hardDeadline: new Date('2027-01-01T06:00:00Z'),
}

/** Longer than the first process of any computer that tests run on has run. */
const years = 1e8

describe('the first-boot script', () => {
  test('is a script that bash can read, and so is the loop inside it', () => {
    const script = firstBootScript(boot)
    expect(script.startsWith('#!/bin/bash\n')).toBe(true)
    execFileSync('bash', ['-n'], { input: script })
    const loop = /bellows-deadline << 'BELLOWS'\n([\s\S]*?)\nBELLOWS\n/.exec(script)?.[1]
    execFileSync('bash', ['-n'], { input: loop })
  })

  test('sets the switch-off time before anything else can fail', () => {
    const script = firstBootScript(boot)
    expect(script.indexOf('bellows-deadline')).toBeGreaterThan(0)
    expect(script.indexOf('bellows-deadline')).toBeLessThan(script.indexOf('bellows_host_key'))
  })

  test('refuses a machine where the trainer’s user is somebody, such as the login user', () => {
    const [user, group] = trainerUser.split(':')
    expect(group).toBe(user)
    expect(firstBootScript(boot)).toContain(`\nnobody_is ${user}\n`)
    const check = /^nobody_is\(\) .*$/m.exec(firstBootScript(boot))?.[0]
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
    const { deadline, loop, age } = armed(firstBootScript({ ...boot, lifetimeSeconds, hardDeadline }))
    const end = expected === lifetimeSeconds ? expected - age : expected
    expect(Math.abs(deadline - Date.now() / 1000 - end)).toBeLessThan(5)
    expect(loop).toContain(`hard_deadline=${deadline}\n`)
  })

  test('opens to the trainer’s user the folders that trainers write to, and nothing else', () => {
    const opened = /^install -d -m 777 .*$/m.exec(firstBootScript(boot))?.[0].match(/\/job\/\w+/g)
    expect(opened).toEqual(['/job/out', '/job/checkpoint', '/job/cache'])
  })

  test('says that it is ready at its very end', () => {
    expect(firstBootScript(boot).endsWith('\ntouch /var/lib/bellows/ready\n')).toBe(true)
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
    expect(() => firstBootScript({ ...boot, ...wrong })).toThrow()
  })
})

/** What the part that arms the switch-off writes, run here below a folder; `age` of this computer's first process, in seconds. */
function armed(script: string) {
  const folder = mkdtempSync(path.join(tmpdir(), 'bellows-boot-'))
  try {
    const part = script.slice(script.indexOf('# Switches the machine off'), script.indexOf('chmod 755'))
    const input = part
      .replaceAll('/var/lib/bellows', folder)
      .replaceAll('/usr/local/sbin/bellows-deadline', `${folder}/loop`)
    execFileSync('bash', ['-euo', 'pipefail'], { input })
    const age = Number(execFileSync('ps', ['-o', 'etimes=', '-p', '1'], { encoding: 'utf8' }))
    const deadline = Number(readFileSync(`${folder}/deadline`, 'utf8'))
    return { deadline, age, loop: readFileSync(`${folder}/loop`, 'utf8') }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
