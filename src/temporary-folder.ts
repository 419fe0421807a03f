/**
 * Temporary folders that say whose they are, so that those of a process which was killed can be removed by the next: one
 * may hold the store's credentials. The name is `bellows-<purpose>-<place>.<process>.<start>-<random>`.
 *
 * A process id is used again, and means something else in another container that shares the folder. So `place` stands for
 * this boot of this computer and for the container's process ids, and `start` is when the process began, by its kernel.
 */
import { createHash } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { lstat, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type Purpose = 'stack' | 'dataset' | 'train' | 'demo' | 'probe'

/** Of another place nothing is known but its age; no operation of a worker takes that long. */
const abandonedMs = 24 * 60 * 60_000

const ours = /^bellows-[a-z]+-(?<place>[0-9a-f]{8})\.(?<id>\d+)\.(?<start>\d+)-\w{6}$/

/** @param root Made where it is not there. Default: the system's temporary folder */
export async function makeTemporaryFolder(purpose: Purpose, root = tmpdir()): Promise<string> {
  await mkdir(root, { recursive: true }).catch(() => {}) // what is wrong with it, the next line says
  return mkdtemp(join(root, `bellows-${purpose}-${place()}.${process.pid}.${startOf(process.pid) ?? 0}-`))
}

/** Removes what processes have left that are gone, and returns the names; whatever can't be removed stays. */
export async function sweepTemporaryFolders(root = tmpdir(), now = Date.now()): Promise<readonly string[]> {
  const names = await readdir(root).catch(() => [])
  const removed: string[] = []
  for (const name of names) {
    const path = join(root, name)
    if (!(await isLeft(path, ours.exec(name)?.groups, now).catch(() => false))) continue
    const done = await rm(path, { recursive: true, force: true }).then(
      () => true,
      () => false,
    )
    if (done) removed.push(name)
  }
  return removed
}

async function isLeft(
  path: string,
  owner: Readonly<Record<string, string>> | undefined,
  now: number,
): Promise<boolean> {
  if (!owner) return false
  const entry = await lstat(path)
  if (!entry.isDirectory() || entry.uid !== process.getuid?.()) return false
  if (owner.place !== place()) return now - entry.mtimeMs > abandonedMs
  return startOf(Number(owner.id)) !== Number(owner.start)
}

function place(): string {
  const known = [
    () => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8'),
    () => readlinkSync('/proc/self/ns/pid'),
  ].map((read) => {
    try {
      return read()
    } catch {
      return ''
    }
  })
  return createHash('sha256').update(known.join()).digest('hex').slice(0, 8)
}

/** Clock ticks from boot to the start of a process; undefined where it is gone, or has ended and only waits to be noticed. */
function startOf(id: number): number | undefined {
  try {
    const line = readFileSync(`/proc/${id}/stat`, 'utf8')
    const fields = line.slice(line.lastIndexOf(')') + 2).split(' ') // the command may hold anything, `)` too
    return fields[0] === 'Z' ? undefined : Number(fields[19])
  } catch {
    return undefined
  }
}
