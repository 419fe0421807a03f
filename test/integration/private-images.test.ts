/** Trainer images from registries that demand a login, pulled by a machine that has none. */
import { execa } from 'execa'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { pullFailure } from '../../src/registries/pull-refusal.ts'
import { dockerConfig } from '../../src/registries/registry.ts'
import { pullWithLogin } from '../../src/remote/argv.ts'
import type { Host } from '../../src/remote/host.ts'
import { sshRemote } from '../../src/remote/ssh-remote.ts'
import { Secret } from '../../src/secret.ts'
import { startRegistry } from '../support/registry.ts'
import { smallImage } from '../support/small-image.ts'
import { bootMachine, docker, type TestMachine } from './machine.ts'

const never = new AbortController().signal
const user = 'lab-robot'
const password = `it's "a" $password: \\ %41`
const auth = Buffer.from(`${user}:${password}`).toString('base64')

type Registry = Awaited<ReturnType<typeof withAnImage>>

/** A registry with one image in it. */
async function withAnImage(address: string, challenge: 'Basic' | 'Bearer') {
  const registry = await startRegistry({ address, challenge, login: { user, password } })
  const digest = registry.put('lab/trainer', '1', await smallImage())
  return { ...registry, digest, image: `${registry.host}/lab/trainer:1` }
}

let tested: TestMachine
let registries: Readonly<Record<'Basic' | 'Bearer', Registry>>
let nobody: string
const hosts: Host[] = []

beforeAll(async () => {
  tested = await bootMachine()
  const address = await docker('inspect', '--format', '{{.NetworkSettings.Gateway}}', tested.machine.name)
  registries = {
    Basic: await withAnImage(address, 'Basic'),
    Bearer: await withAnImage(address, 'Bearer'),
  }
  nobody = `${address}:1`
  const { Basic, Bearer } = registries
  // Those of tests speak HTTP.
  const plain = [Basic.host, Bearer.host, nobody].map(
    (location) => `[[registry]]\nlocation = "${location}"\ninsecure = true\n`,
  )
  await (await connect()).ready(AbortSignal.timeout(60_000))
  await tested.inside(`cat > /etc/containers/registries.conf.d/test.conf << 'END'\n${plain.join('')}END`)
}, 120_000)

afterAll(async () => {
  for (const host of hosts) host.close()
  for (const each of Object.values(registries ?? {})) await each[Symbol.asyncDispose]()
  await tested?.remove()
})

beforeEach(async () => {
  for (const each of Object.values(registries))
    Object.assign(each.stage, { refusal: undefined, hold: undefined })
  await tested.inside('podman image prune --all --force > /dev/null')
})

/** With that password for every registry; without one where none is given. */
async function connect(given?: string): Promise<Host> {
  const { keysFor, machine } = tested
  const login = given === undefined ? undefined : { user, password: new Secret(given) }
  const remote = sshRemote({ keysFor, user: 'ubuntu', port: 22, loginFor: async () => login })
  const host = await remote.connect(machine, AbortSignal.timeout(60_000))
  hosts.push(host)
  return host
}

const pulled = async (image: string, given?: string) => (await connect(given)).pull(image, () => {}, never)

/** Every place of the machine where an engine keeps logins, and every word that its processes were started with. */
const traces = () =>
  tested.inside(
    'ls /dev/shm; ls -A /root/.docker /root/.config /run/containers/0/auth.json /home/ubuntu/.docker 2> /dev/null;' +
      'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2> /dev/null | tr "\\0" "\\n"',
  )

describe.each(['Basic', 'Bearer'] as const)('a registry that demands a login (%s)', (challenge) => {
  test('lets the machine have its image by a login that it sees for the pull only', async () => {
    const registry = registries[challenge]
    const host = await connect(password)
    let meanwhile = ''
    registry.stage.hold = async () => {
      registry.stage.hold = undefined
      meanwhile = await traces()
    }
    await host.pull(registry.image, () => {}, never)
    expect(await host.imageDigest(registry.image, never)).toBe(registry.digest)
    expect(meanwhile.slice(0, 20)).toMatch(/^bellows-login-/)
    const after = await traces()
    expect(after.includes('bellows-login-')).toBe(false)
    for (const seen of [meanwhile, after])
      expect([password, auth, user].filter((each) => seen.includes(each))).toEqual([])
  })

  test.each([
    [
      'without one',
      undefined,
      /does not let the image .*\/lab\/trainer:1 be pulled without a login \(BELLOWS_REG/,
    ],
    [
      'with a wrong one',
      'wrong',
      /does not let the login that is set for it pull the image .*\/lab\/trainer:1: /,
    ],
  ])('refuses the image %s, which the operator is told', async (_, given, message) => {
    const { image, host } = registries[challenge]
    await expect(pulled(image, given)).rejects.toMatchObject({
      reason: 'image-refused',
      message: expect.stringMatching(message),
    })
    await expect(pulled(image, given)).rejects.toThrow(host)
    expect((await traces()).includes('bellows-login-')).toBe(false)
  })

  test('says that it has no such image', async () => {
    const { host } = registries[challenge]
    await expect(pulled(`${host}/lab/denied:2`, password)).rejects.toMatchObject({
      reason: 'image-refused',
      message: expect.stringContaining(`${host} has no image ${host}/lab/denied:2 for this machine: `),
    })
  })

  test.each([
    [429, 'TOOMANYREQUESTS', 'lets no more be pulled for now'],
    [503, 'UNAVAILABLE', 'could not be reached'],
  ])('may be asked again where it answers %i', async (status, code, message) => {
    const { image, stage } = registries[challenge]
    stage.refusal = [status, code]
    await expect(pulled(image, password)).rejects.toMatchObject({
      reason: 'registry-failed',
      message: expect.stringContaining(message),
    })
  })
})

/** As AWS's image has it; the machines here have Podman. */
describe.each(['Basic', 'Bearer'] as const)('Docker, by the same command (%s)', (challenge) => {
  let registry: Registry
  beforeAll(async () => {
    // Docker takes no other without TLS.
    registry = await withAnImage('127.0.0.1', challenge)
  })
  afterAll(() => registry[Symbol.asyncDispose]())

  const pullHere = async (image: string, given: string) => {
    const login = { user, password: new Secret(given) }
    const [, , command = '', ...words] = pullWithLogin(image)
    const pull = execa(command, words, { all: true, stdin: 'pipe', reject: false })
    pull.stdin.write(`${dockerConfig(registry.host, login)}\n`) // and is not ended
    const { all, exitCode } = await pull
    return exitCode === 0 ? undefined : pullFailure(image, all.trim().split('\n'), login).reason
  }

  test('pulls with the login, and is refused in words that are understood', async () => {
    expect(await pullHere(registry.image, password)).toBeUndefined()
    await docker('image', 'rm', registry.image)
    expect(await pullHere(registry.image, 'wrong')).toBe('image-refused')
    expect(await pullHere(`${registry.host}/lab/other:1`, password)).toBe('image-refused')
    registry.stage.refusal = [429, 'TOOMANYREQUESTS']
    expect(await pullHere(registry.image, password)).toBe('registry-failed')
    registry.stage.refusal = [503, 'UNAVAILABLE']
    expect(await pullHere(registry.image, password)).toBe('registry-failed')
  })
})

test('a registry that is not there may be asked again', async () => {
  await expect(pulled(`${nobody}/lab/trainer:1`, password)).rejects.toMatchObject({
    reason: 'registry-failed',
    message: expect.stringContaining(`${nobody} could not be reached for the image`),
  })
})

test('a pull that is broken off leaves no login', async () => {
  const registry = registries.Basic
  const enough = new AbortController()
  const reached = Promise.withResolvers<void>()
  registry.stage.hold = () => {
    reached.resolve()
    return new Promise(() => {})
  }
  const pull = (await connect(password)).pull(registry.image, () => {}, enough.signal)
  await Promise.race([reached.promise, pull])
  enough.abort(new Error('enough'))
  await expect(pull).rejects.toThrow('enough')
  const isGone = async () =>
    expect(/bellows-login-|pull-with-login/.exec(await traces())?.[0]).toBeUndefined()
  await vi.waitFor(isGone, { timeout: 20_000, interval: 200 })
})
