/**
 * The first boot, judged by systemd and cloud-init themselves. Skipped, with a sentence, where no image of them can be
 * built, or systemd can't be a container's first process.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sshRemote } from '../../src/remote/ssh-remote.ts'
import { bootCloudMachine, cloudImage, cloudUser } from './cloud-machine.ts'
import { docker } from './machine.ts'

type CloudMachine = Awaited<ReturnType<typeof bootCloudMachine>>

const lifetimeSeconds = 3_600
const limit = () => AbortSignal.timeout(120_000)
let machine: CloudMachine | undefined
let missing: string | undefined

beforeAll(async () => {
  const image = await cloudImage().catch((error: Error) => {
    missing = `no image with systemd and cloud-init can be built: ${error.message}`
    console.warn(missing)
  })
  if (image) machine = await bootCloudMachine(image, lifetimeSeconds)
})

afterAll(() => machine?.remove())

/** Starts it and waits as a worker does; `heard` is why it had to wait. */
async function boot({ start, name, keys }: CloudMachine) {
  const startedAt = Date.now()
  const heard: string[] = []
  const found = await start()
  const remote = sshRemote({ keysFor: () => keys, user: cloudUser, port: 22 })
  const answering = remote.connect(found, limit(), (why) => heard.push(why))
  const ended = docker('wait', name).then(() => undefined)
  const host = await Promise.race([answering, ended])
  return { host, heard, startedAt, answeredAt: Date.now() }
}

describe('a machine of systemd and cloud-init', () => {
  test('has its deadline first, shows the pinned host key and no other, and is ready', async (context) => {
    if (!machine) return context.skip(missing ?? '')
    const { inside, name } = machine
    const { host, heard, startedAt, answeredAt } = await boot(machine)
    if (!host) return context.skip(`systemd does not run in a container here: ${await docker('logs', name)}`)
    await host.ready(limit())
    const readyAt = Date.now()
    host.close()
    expect(heard.filter((why) => /host key/.test(why))).toEqual([])

    const deadlineAt = Number(await inside('stat --format %.3Y /usr/local/sbin/bellows-deadline')) * 1000
    const listensAt =
      Number(
        await inside('date --date "$(systemctl show --property ActiveEnterTimestamp --value ssh)" +%s'),
      ) * 1000
    expect(deadlineAt).toBeLessThan(listensAt + 1000)
    const since = (moment: number) => `${((moment - startedAt) / 1000).toFixed(1)} s`
    console.info(
      `from its start: deadline ${since(deadlineAt)}, pinned key ${since(answeredAt)}, ready ${since(readyAt)}`,
    )
    expect(await inside('systemctl is-active bellows-deadline.service')).toBe('active')
    const deadline = Number(await inside('cat /var/lib/bellows/deadline'))
    expect(Math.abs(deadline - startedAt / 1000 - lifetimeSeconds)).toBeLessThan(5)
    expect(await inside('ls /etc/ssh/ssh_host_*_key')).toBe('/etc/ssh/ssh_host_ed25519_key')
    expect(await inside('cat /var/log/cloud-init-output.log')).not.toContain('PRIVATE KEY')
  })

  test('keeps its deadline when it is booted again, and switches itself off in time', async (context) => {
    if (!machine) return context.skip(missing ?? '')
    const { inside, stop, ended } = machine
    const before = await inside('cat /usr/local/sbin/bellows-deadline').catch(() => undefined)
    if (before === undefined) return context.skip('it has not booted once')
    const soon = Math.floor(Date.now() / 1000) + 3_000
    await inside(`echo ${soon} > /var/lib/bellows/deadline`)
    await stop()
    const { host, heard } = await boot(machine)
    expect(heard.filter((why) => /host key/.test(why))).toEqual([])
    expect(await inside('cat /usr/local/sbin/bellows-deadline')).toBe(before)
    expect(await inside('cat /var/lib/bellows/deadline')).toBe(String(soon))
    expect(await inside('systemctl is-active bellows-deadline.service')).toBe('active')

    const at = Math.ceil(Date.now() / 1000) + 2
    await host?.setDeadline(new Date(at * 1000), limit())
    host?.close()
    await ended()
    const lateSeconds = Date.now() / 1000 - at
    console.info(`it was off ${lateSeconds.toFixed(1)} s after its deadline`)
    expect(lateSeconds).toBeGreaterThan(0)
    expect(lateSeconds).toBeLessThan(30)
  })
})
