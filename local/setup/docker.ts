/** Docker: the one that runs, else (for root, on Debian and its kin) installed and started. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { getuid } from 'node:process'
import { setTimeout as pause } from 'node:timers/promises'
import { canInstallPackages, installDebianPackages } from './apt.ts'
import { ask, run } from './command.ts'
import type { SetupFolder } from './place.ts'
import type { Work } from './tasks.ts'

const startLimitMs = 60_000

export async function docker(place: SetupFolder, { say }: Work): Promise<void> {
  if (await dockerAnswers()) return
  if (getuid?.() !== 0) {
    throw new Error(
      'Docker does not answer this user: install Docker (Debian, Ubuntu: apt-get install docker.io), start it, and add the user to the group docker',
    )
  }
  if ((await ask(['dockerd', '--version'])) === undefined) {
    if (!(await canInstallPackages())) throw new Error('install Docker and start it')
    say('installing docker.io')
    await installDebianPackages(['docker.io', 'iptables'], place)
  }
  if (await dockerAnswers()) return
  say('starting its daemon')
  if (existsSync('/run/systemd/system'))
    await run(['systemctl', 'start', 'docker'], { log: place.log('docker') })
  else await startDaemon(place)
}

async function dockerAnswers(): Promise<boolean> {
  return (await ask(['docker', 'version', '--format', '{{.Server.Version}}'])) !== undefined
}

/** Without systemd, as in a container or a small virtual machine. It goes on when we end, as a service does. */
async function startDaemon(place: SetupFolder): Promise<void> {
  const log = await open(place.log('dockerd'), 'a')
  const daemon = spawn('dockerd', [], { detached: true, stdio: ['ignore', log.fd, log.fd] })
  await log.close()
  const ended = new AbortController()
  daemon.once('error', () => ended.abort())
  daemon.once('exit', () => ended.abort())
  const deadline = performance.now() + startLimitMs
  while (!(await dockerAnswers())) {
    if (ended.signal.aborted) throw new Error(`dockerd ended at once: ${place.log('dockerd')} says why`)
    if (performance.now() > deadline)
      throw new Error(`dockerd did not answer: ${place.log('dockerd')} says why`)
    await pause(250)
  }
  daemon.unref()
}
