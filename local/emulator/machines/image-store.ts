/**
 * The trainers' images as the local machines have them: one volume that each machine mounts read-only, so
 * that an image is there as soon as a machine is, whatever its size. Loading one takes about half a minute
 * a gigabyte, once for each image id; a list in the volume says which ids are there. Of two clouds that start at
 * once, one fills it.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { pipeline } from 'node:stream/promises'
import { withLock } from '../../setup/lock.js'
import { docker } from './docker.ts'
import { imageStoreVolume } from './machine.ts'

export type FillOptions = {
  readonly machineImage: string
  readonly onLoad?: (image: string) => void
}

/** Returns the images that had to be loaded: none the second time. Each must exist in this computer's Docker. */
export function fillImageStore(images: readonly string[], options: FillOptions): Promise<readonly string[]> {
  return withLock(imageStoreVolume, () => fill(images, options))
}

async function fill(
  images: readonly string[],
  { machineImage, onLoad }: FillOptions,
): Promise<readonly string[]> {
  const ids = await Promise.all(
    images.map((image) => docker(['image', 'inspect', '--format', '{{.Id}}', image])),
  )
  const there = new Set((await inStore(machineImage, ['cat', `${store}/loaded`]).catch(() => '')).split('\n'))
  const wanted = images.map((image, index) => ({ image, line: `${image} ${ids[index]}` }))
  const missing = wanted.filter(({ line }) => !there.has(line))
  for (const { image, line } of missing) {
    onLoad?.(image)
    await load(machineImage, image)
    await inStore(machineImage, ['sh', '-c', 'echo "$1" >> "$2"', 'sh', line, `${store}/loaded`])
  }
  return missing.map(({ image }) => image)
}

const store = '/images'

const inStoreArgv = (machineImage: string, command: readonly string[]) => {
  const [program = '', ...argv] = command
  return [
    ...['run', '--rm', '--interactive', '--network', 'none', '--cap-add', 'SYS_ADMIN'],
    ...['--security-opt', 'seccomp=unconfined', '--security-opt', 'apparmor=unconfined'],
    ...['--volume', `${imageStoreVolume}:${store}`, '--volume', '/var/tmp', '--entrypoint', program],
    ...[machineImage, ...argv],
  ]
}

const inStore = (machineImage: string, command: readonly string[]) =>
  docker(inStoreArgv(machineImage, command))

/** `docker save | podman load`, straight into the volume. */
async function load(machineImage: string, image: string): Promise<void> {
  const save = spawn('docker', ['save', image], { stdio: ['ignore', 'pipe', 'inherit'] })
  const podman = ['podman', '--root', store, '--runroot', '/run/fill', 'load', '--quiet']
  const into = spawn('docker', inStoreArgv(machineImage, podman), { stdio: ['pipe', 'ignore', 'pipe'] })
  const said: Buffer[] = []
  into.stderr.on('data', (chunk: Buffer) => said.push(chunk))
  const [[saved], [loaded]] = await Promise.all([
    once(save, 'close'),
    once(into, 'close'),
    pipeline(save.stdout, into.stdin).catch(() => {}),
  ])
  if (saved !== 0 || loaded !== 0) {
    throw new Error(
      `${image} could not be loaded for the local machines: ${Buffer.concat(said).toString().trim()}`,
    )
  }
}
