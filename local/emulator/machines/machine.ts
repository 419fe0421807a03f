/**
 * A machine of the local cloud: one container of images/machine and one volume, its disk. What the machine
 * is told about itself (metadata, user data, firewall rules) is copied in before it starts, so that no
 * secret stands on Docker's command line or in its description of the container.
 */
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import tar from 'tar-stream'
import { DockerError, docker, dockerFile, dockerLogs, isAbsent } from './docker.ts'

/** One thing that a security group lets in. */
export type IngressRule = {
  /** `tcp`, `udp`, or `-1` for everything. */
  readonly protocol: string
  readonly fromPort: number
  readonly toPort: number
  readonly cidr: string
}

export type MachineSpec = {
  /** Of the container: the instance's id. */
  readonly name: string
  /** Of the volume that holds the containers of the machine: the disk's id. */
  readonly disk: string
  readonly image: string
  readonly network: string
  readonly labels: Readonly<Record<string, string>>
  /** What the metadata address answers, by path below /latest, such as `meta-data/instance-id`. */
  readonly metadata: Readonly<Record<string, string>>
  readonly ingress: readonly IngressRule[]
  /** How long it takes until sshd answers, beyond what it takes anyway. */
  readonly bootSeconds: number
  /** Room below /job; as much as this computer has where absent. */
  readonly diskMegabytes?: number | undefined
}

/** The volume of images that all machines share, read-only; image-store.ts fills it. */
export const imageStoreVolume = 'bellows-images'

/** Pure: how a machine's container is made. */
function createArgv(spec: MachineSpec): readonly string[] {
  return [
    'create',
    ...['--name', spec.name, '--hostname', spec.name, '--network', spec.network],
    // What a machine with containers of its own needs, short of --privileged.
    ...['--cap-add', 'SYS_ADMIN', '--cap-add', 'NET_ADMIN', '--cgroupns', 'private'],
    ...['--security-opt', 'seccomp=unconfined', '--security-opt', 'apparmor=unconfined'],
    ...['--volume', `${spec.disk}:/var/lib/containers`],
    ...['--volume', `${imageStoreVolume}:/var/lib/bellows-images:ro`],
    ...labelsOf(spec),
    spec.image,
  ]
}

export async function createMachine(spec: MachineSpec): Promise<void> {
  await docker(['volume', 'create', ...labelsOf(spec), spec.disk])
  await docker(createArgv(spec))
  const files = {
    ...Object.fromEntries(Object.entries(spec.metadata).map(([path, text]) => [`metadata/${path}`, text])),
    ingress: ingressText(spec.ingress),
    ...(spec.bootSeconds > 0 && { 'boot-seconds': String(spec.bootSeconds) }),
    ...(spec.diskMegabytes && { 'disk-megabytes': String(spec.diskMegabytes) }),
  }
  await copyInto(spec.name, files)
}

/** Starts it and returns its address. */
export async function startMachine(name: string): Promise<string> {
  await docker(['start', name])
  const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'
  const address = await docker(['inspect', '--format', format, name])
  if (address === '') throw new Error(`The machine ${name} has ended while it started`)
  return address
}

/** Removes the container with everything that runs in it, and its disk. Fine if neither is there. */
export async function removeMachine(name: string, disk: string): Promise<void> {
  try {
    await docker(['rm', '--force', '--volumes', name])
  } catch (error) {
    if (isUnderRemoval(error)) await untilAbsent(name)
    else if (!isAbsent(error)) throw error
  }
  await docker(['volume', 'rm', '--force', disk])
}

/** Another process, or this one before it was restarted, is at it already. */
const isUnderRemoval = (error: unknown): boolean =>
  error instanceof DockerError && /removal of container .* is already in progress/.test(error.stderr)

async function untilAbsent(name: string): Promise<void> {
  const deadline = Date.now() + 30_000
  while ((await machineLife(name)) !== 'absent') {
    if (Date.now() > deadline) throw new Error(`The machine ${name} is not gone 30 s after its removal began`)
    await sleep(100)
  }
}

export const stopMachine = (name: string): Promise<string> => docker(['stop', '--time', '5', name])

export type MachineLife = 'absent' | 'created' | 'running' | 'ended'

export async function machineLife(name: string): Promise<MachineLife> {
  try {
    const status = await docker(['inspect', '--type', 'container', '--format', '{{.State.Status}}', name])
    return status === 'created' ? 'created' : status === 'running' ? 'running' : 'ended'
  } catch (error) {
    if (isAbsent(error)) return 'absent'
    throw error
  }
}

/** Returns once the machine doesn't run any more, for whatever reason. */
export async function untilEnded(name: string): Promise<void> {
  await docker(['wait', name]).catch((error) => {
    if (!isAbsent(error)) throw error
  })
}

/** What EC2's console shows of a machine: its boot, and what cloud-init copies there. Empty where there is none. */
export async function machineConsole(name: string): Promise<string> {
  const [boot = '', firstBoot] = await Promise.all([
    dockerLogs(name),
    dockerFile(name, '/var/log/cloud-init-output.log'),
  ])
  return `${boot}${firstBoot?.toString('utf8') ?? ''}`
}

/** Replaces the firewall rules of a running machine. */
export async function setIngress(name: string, rules: readonly IngressRule[]): Promise<void> {
  await docker(['exec', '--interactive', name, '/usr/local/sbin/firewall'], ingressText(rules))
}

/** Cuts a running machine's cable, or mends it: what is sent is lost without a word, and nothing is closed. */
export async function setReachable(name: string, reachable: boolean): Promise<void> {
  const change = reachable ? '--delete' : '--insert'
  for (const rule of [
    ['INPUT', '--in-interface', 'eth0'],
    ['OUTPUT', '--out-interface', 'eth0'],
  ]) {
    await docker(['exec', name, 'iptables', '--wait', change, ...rule, '--jump', 'DROP'])
  }
}

/** Lets the metadata address answer with `text` at `path`, such as `meta-data/spot/instance-action`. */
export const setMetadata = (name: string, path: string, text: string): Promise<void> =>
  copyInto(name, { [`metadata/${path}`]: text })

async function copyInto(name: string, files: Readonly<Record<string, string>>): Promise<void> {
  const archive = tar.pack()
  for (const [path, text] of Object.entries(files)) archive.entry({ name: path, mode: 0o644 }, text)
  archive.finalize()
  await docker(['cp', '-', `${name}:/var/lib/machine`], await buffer(archive))
}

const ingressText = (rules: readonly IngressRule[]): string =>
  rules.map(({ protocol, fromPort, toPort, cidr }) => `${protocol} ${fromPort} ${toPort} ${cidr}\n`).join('')

const labelsOf = ({ labels }: MachineSpec): readonly string[] =>
  Object.entries(labels).flatMap(([key, value]) => ['--label', `${key}=${value}`])
