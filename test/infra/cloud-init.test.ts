import { execFileSync, spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { firstBootScript } from '../../infra/cloud-init.ts'
import { trainerUser } from '../../src/remote/argv.ts'

const boot = {
  hostPrivateKey: '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\nBBBB=\n-----END OPENSSH PRIVATE KEY-----\n',
  authorizedKey: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA worker',
  deadline: new Date('2027-01-01T00:00:00Z'),
  hardDeadline: new Date('2027-01-01T06:00:00Z'),
}

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
    expect(script).toContain(`echo ${Date.parse('2027-01-01T00:00:00Z') / 1000} > /var/lib/bellows/deadline`)
    expect(script).toContain(`hard_deadline=${Date.parse('2027-01-01T06:00:00Z') / 1000}`)
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
    ['a deadline past the hard one', { deadline: new Date('2028-01-01') }],
    ['a deadline that is no date', { deadline: new Date('soon') }],
  ])('refuses %s', (_, wrong) => {
    expect(() => firstBootScript({ ...boot, ...wrong })).toThrow()
  })
})
