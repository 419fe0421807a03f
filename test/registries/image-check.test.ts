/** A registry is asked for an image before a machine is: what it says against it counts, and nothing else does. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { imageCheck } from '../../src/registries/image-check.ts'
import type { LoginFor } from '../../src/registries/registry.ts'
import { Secret } from '../../src/secret.ts'
import { startRegistry } from '../support/registry.ts'
import { smallImage } from '../support/small-image.ts'

const never = new AbortController().signal
const login = { user: 'lab-robot', password: 'p:ss' }
const noLogin: LoginFor = async () => undefined
const withLogin =
  (password: string): LoginFor =>
  async () => ({ user: login.user, password: new Secret(password) })

const open: AsyncDisposable[] = []
afterEach(async () => {
  for (const each of open.splice(0)) await each[Symbol.asyncDispose]()
})

async function registryWith(options: Parameters<typeof startRegistry>[0] = {}) {
  const registry = await startRegistry(options)
  open.push(registry)
  const digest = registry.put('lab/trainer', '1', await smallImage())
  return { ...registry, digest }
}

const check = (image: string, loginFor = noLogin) =>
  imageCheck(loginFor)(image, never).then(
    () => 'may be ordered for',
    ({ reason, message }: Failure) => `${reason}: ${message}`,
  )

test('an image that is there may be ordered for, by its tag and its digest, and is not pulled', async () => {
  const { host, digest, seen } = await registryWith()
  expect(await check(`${host}/lab/trainer:1`)).toBe('may be ordered for')
  expect(await check(`${host}/lab/trainer@${digest}`)).toBe('may be ordered for')
  expect(await check(`${host}/lab/trainer:old@${digest}`)).toBe('may be ordered for')
  expect(seen.filter((each) => each.startsWith('GET'))).toEqual([])
})

test.each(['lab/trainer:2', 'lab/trianer:1', 'lab/trainer', `lab/trainer@sha256:${'0'.repeat(64)}`])(
  'an image that is not there is refused: %s',
  async (name) => {
    const { host } = await registryWith({ repositories: ['lab/trainer'] })
    const said = await check(`${host}/${name}`)
    expect(said).toMatch(/^image-refused: .* has no image .*(manifest|name) unknown/)
    expect(said).toContain(`${host}/${name}`)
  },
)

describe.each(['Basic', 'Bearer'] as const)('a registry that demands a login (%s)', (challenge) => {
  test('lets the right one in', async () => {
    const { host } = await registryWith({ challenge, login })
    expect(await check(`${host}/lab/trainer:1`, withLogin(login.password))).toBe('may be ordered for')
    expect(await check(`${host}/lab/other:1`, withLogin(login.password))).toMatch(/^image-refused: .* has no/)
  })

  test('refuses whoever has none or a wrong one, and the login is not told', async () => {
    const { host } = await registryWith({ challenge, login })
    expect(await check(`${host}/lab/trainer:1`)).toMatch(
      /^image-refused: .* be pulled without a login \(BELLOWS_REGISTRY_LOGINS\): /,
    )
    const wrong = await check(`${host}/lab/trainer:1`, withLogin('wrong'))
    expect(wrong).toMatch(/^image-refused: .* does not let the login that is set for it pull/)
    expect(wrong).not.toContain('wrong')
  })
})

test('a right that is lacking is a refusal', async () => {
  const { host, stage } = await registryWith()
  stage.refusal = [403, 'DENIED', 'requested access to the resource is denied']
  expect(await check(`${host}/lab/trainer:1`)).toMatch(/^image-refused: .*: denied: requested access/)
})

test.each([
  [429, 'TOOMANYREQUESTS'],
  [503, 'UNAVAILABLE'],
  [500, 'UNKNOWN'],
])('a registry that answers %i blocks no order', async (status, code) => {
  const { host, stage } = await registryWith()
  stage.refusal = [status, code]
  expect(await check(`${host}/lab/trainer:1`)).toBe('may be ordered for')
})

test('a registry that can’t be reached from here blocks no order', async () => {
  expect(await check('127.0.0.1:1/lab/trainer:1')).toBe('may be ordered for')
})

test.each([
  [404, 'text/html', '<h1>Not Found</h1>'],
  [403, 'text/plain', 'blocked by your proxy'],
  [302, 'text/plain', ''],
  [200, 'text/html', '<h1>Sign in</h1>'],
])('what is no registry has no say: %i %s', async (status, type, body) => {
  const server = createServer((_, response) => {
    response.writeHead(status, { 'content-type': type, location: 'http://127.0.0.1:1/' }).end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  open.push({ [Symbol.asyncDispose]: async () => void server.close() })
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  expect(await check(`${host}/lab/trainer:1`)).toBe('may be ordered for')
})

test('a name without a registry is not asked about: the machine may have it', async () => {
  const asked: string[] = []
  const loginFor: LoginFor = async (registry) => void asked.push(registry)
  expect(await check('bellows/trainer-sdxl:3f9c', loginFor)).toBe('may be ordered for')
  expect(asked).toEqual([])
})

test.each(['image-refused', 'registry-failed'] as const)(
  'a login that can’t be had is told where it is %s',
  async (reason) => {
    const loginFor: LoginFor = async () => {
      throw new Failure(reason, 'the worker got no login')
    }
    const said = await check('127.0.0.1:1/lab/trainer:1', loginFor)
    expect(said).toBe(
      reason === 'image-refused' ? 'image-refused: the worker got no login' : 'may be ordered for',
    )
  },
)

test('who is told to stop does', async () => {
  const { host, stage } = await registryWith()
  stage.hold = () => new Promise(() => {})
  const stop = new AbortController()
  const checking = imageCheck(noLogin)(`${host}/lab/trainer:1`, stop.signal)
  stop.abort(new Error('cancelled'))
  await expect(checking).rejects.toThrow('cancelled')
})
