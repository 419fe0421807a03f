/** Against the real client, whose answers a server of ours gives. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ECRClient } from '@aws-sdk/client-ecr'
import { afterEach, expect, test } from 'vitest'
import { ecrLogins } from '../../../src/cloud/aws/ecr-logins.ts'

const registry = '111122223333.dkr.ecr.eu-west-1.amazonaws.com'
const noon = Date.parse('2026-11-23T12:00:00Z')
const hour = 3_600_000

const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

type Answer = readonly [status: number, body: object]

const token = (text: string, expiresAt = noon + 12 * hour): Answer => [
  200,
  {
    authorizationData: [
      { authorizationToken: Buffer.from(text).toString('base64'), expiresAt: expiresAt / 1000 },
    ],
  },
]

/** `answers` in their order; the last one for ever. */
async function setUp(...answers: readonly Answer[]) {
  const asked: (string | undefined)[] = []
  const regions: string[] = []
  const clock = { now: noon }
  const server = createServer((request, response) => {
    asked.push(request.headers['x-amz-target'] as string | undefined)
    const [status, body] = answers[Math.min(asked.length, answers.length) - 1] as Answer
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' })
    response.end(JSON.stringify(body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const credentials = { accessKeyId: 'a', secretAccessKey: 'b' }
  const logins = ecrLogins(
    (region) => {
      regions.push(region)
      return new ECRClient({ endpoint, region, credentials, maxAttempts: 1 })
    },
    () => clock.now,
  )
  closing.push(() => {
    logins.close()
    server.closeAllConnections()
    server.close()
  })
  return { ...logins, asked, regions, clock }
}

test('a login is a token of the registry’s own region, asked for once while it lasts', async () => {
  const { loginFor, asked, regions, clock } = await setUp(token('AWS:first'), token('AWS:second'))
  const password = async (name = registry) => (await loginFor(name))?.password.reveal()
  expect((await loginFor(registry))?.user).toBe('AWS')
  clock.now = noon + 10.9 * hour
  expect(await password(`999988887777${registry.slice(12)}`)).toBe('first')
  expect(asked).toEqual(['AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken'])
  clock.now = noon + 11.1 * hour
  expect(await password()).toBe('second')
  expect(regions).toEqual(['eu-west-1'])
  await password('111122223333.dkr.ecr-fips.us-east-1.amazonaws.com')
  await password('111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn')
  expect(regions).toEqual(['eu-west-1', 'us-east-1', 'cn-north-1'])
})

test.each(['public.ecr.aws', 'ghcr.io', `${registry}.example.com`, `x${registry}`])(
  'AWS is not asked for %s',
  async (name) => {
    const { loginFor, asked } = await setUp(token('AWS:first'))
    expect(await loginFor(name)).toBeUndefined()
    expect(asked).toEqual([])
  },
)

test('a right that is missing is the operator’s to mend, and is named', async () => {
  const message = 'User: worker is not authorized to perform: ecr:GetAuthorizationToken on resource: *'
  const { loginFor } = await setUp([400, { __type: 'AccessDeniedException', message }])
  await expect(loginFor(registry)).rejects.toMatchObject({
    reason: 'image-refused',
    message: `the worker got no login for ${registry} (ecr:GetAuthorizationToken): AccessDeniedException: ${message}`,
  })
})

test('AWS is asked again where it stumbles, and may be asked again later', async () => {
  const stumble: Answer = [500, { __type: 'ServerException', message: 'sorry' }]
  const once = await setUp(stumble, token('AWS:first'))
  expect((await once.loginFor(registry))?.user).toBe('AWS')
  const always = await setUp(stumble)
  await expect(always.loginFor(registry)).rejects.toMatchObject({ reason: 'registry-failed' })
}, 30_000)

test('an answer without a token that can be read is none', async () => {
  const { loginFor } = await setUp(token('nothing'))
  await expect(loginFor(registry)).rejects.toMatchObject({
    reason: 'registry-failed',
    message: `AWS gave no login for ${registry} that can be read`,
  })
})
