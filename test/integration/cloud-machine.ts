/** A container that boots as a cloud's machine does: systemd, cloud-init over a NoCloud seed, sshd. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { firstBootUserData } from '../../infra/cloud-init.ts'
import { makeBaseImage } from '../../local/setup/base-image.ts'
import { cacheFolder } from '../../local/setup/cache.ts'
import { buildImage } from '../../local/setup/images.ts'
import { createSetupFolder } from '../../local/setup/place.ts'
import type { Work } from '../../local/setup/tasks.ts'
import { machineKeys } from '../../src/cloud/machine-keys.ts'
import type { Machine } from '../../src/cloud/machines.ts'
import { Secret } from '../../src/secret.ts'
import { docker } from './machine.ts'

/** The image's own user; cloud-init makes it. */
export const cloudUser = 'debian'

/** Two minutes the first time. */
export async function cloudImage(): Promise<string> {
  const context = fileURLToPath(new URL('../support/cloud-image', import.meta.url))
  const place = createSetupFolder(cacheFolder())
  const work: Work = { say() {}, heavy: (make) => make() }
  const recipe = {
    repository: 'bellows/test-cloud',
    dockerfile: join(context, 'Dockerfile'),
    context,
    inputs: [context],
  }
  return buildImage(recipe, await makeBaseImage(place, work), place, work)
}

/** As little as systemd makes do with; where control groups are of version 2, it wants all. */
const capabilities = (cgroupVersion: string) =>
  cgroupVersion === '1'
    ? [
        ...['--cap-add', 'ALL', '--cap-drop', 'SYS_RESOURCE'],
        ...['--security-opt', 'seccomp=unconfined', '--security-opt', 'apparmor=unconfined'],
      ]
    : ['--privileged']

export async function bootCloudMachine(image: string, lifetimeSeconds: number) {
  const name = `bellows-test-${randomBytes(4).toString('hex')}`
  const keys = machineKeys(new Secret(randomBytes(32).toString('hex')), name)
  const seed = mkdtempSync(join(tmpdir(), 'bellows-seed-'))
  const userData = firstBootUserData({
    hostPrivateKey: keys.hostPrivateKey.reveal(),
    authorizedKey: keys.loginPublicKey,
    loginUser: cloudUser,
    lifetimeSeconds,
    hardDeadline: new Date(Date.now() + 2 * lifetimeSeconds * 1000),
  })
  writeFileSync(join(seed, 'user-data'), userData)
  writeFileSync(join(seed, 'meta-data'), `instance-id: ${name}\npublic-keys:\n  - ${keys.loginPublicKey}\n`)
  await docker(
    'create',
    ...['--name', name, '--hostname', name, '--cgroupns', 'private'],
    ...capabilities(await docker('info', '--format', '{{.CgroupVersion}}')),
    ...['--tmpfs', '/run', '--tmpfs', '/run/lock', '--tmpfs', '/tmp'],
    ...['--volume', `${seed}:/var/lib/cloud/seed/nocloud:ro`],
    image,
  )
  return {
    name,
    keys,
    /** Starts it, the first time or once more, and returns how to reach it. */
    async start(): Promise<Machine> {
      await docker('start', name)
      const host = await docker('inspect', '--format', '{{.NetworkSettings.IPAddress}}', name)
      return { name, instanceId: name, host, zone: 'here' }
    },
    stop: () => docker('stop', '--time', '30', name),
    ended: () => docker('wait', name),
    inside: (script: string) => docker('exec', name, 'bash', '-c', script),
    async remove() {
      await docker('rm', '--force', '--volumes', name)
      rmSync(seed, { recursive: true, force: true })
    },
  }
}
