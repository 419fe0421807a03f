/** A local machine for tests: the container that stands in for an instance, booted with the real script. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { firstBootUserData } from '../../infra/cloud-init.ts'
import { type MachineKeys, machineKeys } from '../../src/cloud/machine-keys.ts'
import type { Machine } from '../../src/cloud/machines.ts'
import { Secret } from '../../src/secret.ts'
import { devEnvironment } from '../support/dev-environment.ts'

const run = promisify(execFile)

export const docker = async (...argv: readonly string[]): Promise<string> =>
  (await run('docker', argv, { maxBuffer: 64 * 2 ** 20 })).stdout.trim()

export type TestMachine = {
  readonly machine: Machine
  readonly keysFor: (name: string) => MachineKeys
  /** Runs a shell script as root inside, beside SSH. */
  readonly inside: (script: string) => Promise<string>
  /** Puts a file where the metadata service answers from. */
  readonly setMetadata: (path: string, content: string) => void
  readonly remove: () => Promise<void>
}

export const bootMachine = async (): Promise<TestMachine> => {
  const name = `bellows-test-${randomBytes(4).toString('hex')}`
  const secret = new Secret(randomBytes(32).toString('hex'))
  const keysFor = (machine: string) => machineKeys(secret, machine)
  const keys = keysFor(name)
  const folder = mkdtempSync(join(tmpdir(), 'bellows-machine-'))
  const put = (path: string, content: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), content)
  }
  const inAnHour = new Date(Date.now() + 3_600_000)
  put('ingress', 'tcp 22 22 0.0.0.0/0\n')
  put('metadata/meta-data/public-keys/0/openssh-key', keys.loginPublicKey)
  put(
    'metadata/user-data',
    firstBootUserData({
      hostPrivateKey: keys.hostPrivateKey.reveal(),
      authorizedKey: keys.loginPublicKey,
      lifetimeSeconds: 3_600,
      hardDeadline: inAnHour,
    }),
  )
  const remove = async () => {
    await docker('rm', '--force', '--volumes', name)
    rmSync(folder, { recursive: true, force: true })
  }
  await docker(
    'run',
    ...['--detach', '--name', name],
    ...['--cap-add', 'SYS_ADMIN', '--cap-add', 'NET_ADMIN'],
    ...['--security-opt', 'seccomp=unconfined', '--security-opt', 'apparmor=unconfined'],
    ...['--cgroupns', 'host', '--volume', '/sys/fs/cgroup:/sys/fs/cgroup:ro'],
    ...['--volume', '/var/lib/containers', '--volume', `${folder}:/var/lib/machine`],
    devEnvironment.images.machine,
  )
  const host = await docker('inspect', '--format', '{{.NetworkSettings.IPAddress}}', name)
  return {
    machine: { name, instanceId: 'i-test', host, zone: 'local' },
    keysFor,
    inside: (script) => docker('exec', name, 'bash', '-c', script),
    setMetadata: (path, content) => put(`metadata/${path}`, content),
    remove,
  }
}

/** An image in the machine whose entry point is a shell that runs /job/trainer.sh. */
export const shellImage = 'localhost/bellows-test/shell:1'

export const importShellImage = ({ inside }: TestMachine): Promise<string> =>
  inside(`
    set -e; mkdir -p /tmp/root/tmp /tmp/root/job /tmp/root/proc /tmp/root/dev /tmp/root/sys /tmp/root/etc; cd /tmp/root
    for program in sh sleep cat id ls touch tail head mkdir; do
      for file in $(command -v $program) $(ldd $(command -v $program) | grep -o '/[^ ]*'); do
        mkdir -p .$(dirname $file); cp -L $file .$file
      done
    done
    mkdir -p bin; cp -L /bin/sh bin/sh
    tar -c . | podman import --change 'ENTRYPOINT ["/bin/sh","/job/trainer.sh"]' - ${shellImage}
  `)
