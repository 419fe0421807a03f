/** The emulator refuses an order as the real provider was heard to, and the worker makes the same of both. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { orderFailure } from '../../../../src/cloud/aws/errors.ts'
import { offer } from '../../../cloud/samples.ts'
import { sampleCloud, sampleInstance } from './samples.ts'

type Recorded = { readonly orders: number; readonly text: string }

const fixture = readFileSync(join(import.meta.dirname, '../../../fixtures/provider-refusals.json'), 'utf8')
const { refusals, credentials } = JSON.parse(fixture) as {
  readonly refusals: readonly Recorded[]
  readonly credentials: readonly { readonly code: string; readonly text: string }[]
}

const wanted = () => ({ ...sampleInstance({ market: 'on-demand' }), userData: '' })
const withoutIds = (text: string) =>
  text.replace(/RequestID: [\w-]+/, 'RequestID: -').replace(/\bi-[0-9a-f]{17}\b/, 'i-')

async function said(stage: (cloud: ReturnType<typeof sampleCloud>) => void): Promise<string> {
  const cloud = sampleCloud()
  stage(cloud)
  const error = await cloud.instances.run(wanted(), { attempts: 3 }).catch((refusal: Error) => refusal)
  return withoutIds((error as Error).message)
}

const atOnce = refusals.flatMap(({ text, orders }) => {
  const [, code, message] = /api error (\w+): (.*)$/.exec(text) ?? []
  return code && message ? [{ code, message, text, orders }] : []
})

test.each(atOnce)('$code, asked for $orders times', async ({ code, message, text, orders }) => {
  const times = 3
  const cloud = sampleCloud()
  cloud.faults.stage({ kind: 'refuse', code, message, times })
  const refusal = await cloud.instances.run(wanted(), { attempts: 3 }).catch((error: Error) => error)
  expect(withoutIds((refusal as Error).message)).toBe(withoutIds(text))
  const left = cloud.faults.list()[0]
  expect(times - (left && 'times' in left ? (left.times ?? 0) : 0)).toBe(orders)
})

const late = refusals.flatMap(({ text }) => {
  const [, code, message] = /last error: ((?:Server|Client)\.\w+): (.*)$/.exec(text) ?? []
  return code && message ? [{ code, message, text }] : []
})

test.each(late)('$code, once the instance was accepted', async ({ code, message, text }) => {
  expect(await said(({ faults }) => faults.stage({ kind: 'refuse-late', code, message }))).toBe(
    withoutIds(text),
  )
})

test('an instance that stays pending', async () => {
  const recorded = refusals.find(({ text }) => text.includes('timeout while waiting'))?.text ?? ''
  expect(await said(({ faults }) => faults.stage({ kind: 'never-runs' }))).toBe(
    withoutIds(recorded).replace('20s', '10m0s'),
  )
})

/** What the words mean, by hand: reason, what is excluded, and the code that the sentence ends with. */
const meanings: readonly (readonly [
  said: RegExp,
  reason: string,
  excludes: string | undefined,
  told: string,
])[] = [
  [/error InsufficientInstanceCapacity/, 'no-capacity', undefined, '(InsufficientInstanceCapacity)'],
  [/error VcpuLimitExceeded/, 'no-capacity', 'quota', '(VcpuLimitExceeded)'],
  [/error MaxSpotInstanceCountExceeded/, 'no-capacity', 'quota', '(MaxSpotInstanceCountExceeded)'],
  [/error InstanceLimitExceeded/, 'no-capacity', 'quota', '(InstanceLimitExceeded)'],
  [/error Unsupported/, 'no-capacity', 'type-in-zone', '(Unsupported)'],
  [/error SpotMaxPriceTooLow/, 'no-capacity', undefined, '(SpotMaxPriceTooLow)'],
  [/error RequestLimitExceeded/, 'no-capacity', undefined, '(RequestLimitExceeded)'],
  [/error (InternalError|Unavailable)/, 'no-capacity', undefined, ')'],
  [/error AuthFailure/, 'misconfigured', undefined, '(AuthFailure)'],
  [/error UnauthorizedOperation/, 'internal', undefined, '(UnauthorizedOperation)'],
  [/last error: Server\.Insufficient/, 'no-capacity', undefined, '(InsufficientInstanceCapacity)'],
  [/last error: Client\.InternalError/, 'no-capacity', undefined, '(Client.InternalError)'],
  [/last error: Server\.InternalError/, 'no-capacity', undefined, '(InternalError)'],
  [/last error: Server\.SpotInstance/, 'no-capacity', undefined, '(SpotInstanceTermination)'],
  [/last error: Client\.VolumeLimit/, 'internal', undefined, '(VolumeLimitExceeded)'],
  [/wanted target 'running'\. last error: $/, 'no-capacity', undefined, 'the order took too long'],
  [/timeout while waiting for state/, 'no-capacity', undefined, 'the order took too long'],
]

test.each(refusals)('the worker understands: $text', ({ text }) => {
  const [, reason, excludes, told] = meanings.find(([words]) => words.test(text)) ?? []
  const failure = orderFailure(new Error(`Pulumi up bellows-1: ${text}\nupdate failed`), offer())
  expect(failure).toMatchObject({ reason, excludes, message: expect.stringMatching(/^g6\.xlarge/) })
  expect(failure.message.endsWith(told ?? '?')).toBe(true)
})

/** What the operator reads, by hand. */
const told: Readonly<Record<string, RegExp>> = {
  ExpiredToken: /the worker’s AWS credentials have expired/,
  InvalidClientTokenId: /AWS does not know the worker’s credentials, or they were taken back/,
  SignatureDoesNotMatch: /AWS does not know the worker’s credentials, or they were taken back/,
  RequestExpired: /the clock of the worker is wrong, or its AWS credentials have expired/,
  NoCredentials:
    /the worker has no AWS credentials: AWS_ACCESS_KEY_ID, a profile that is logged in, or a role/,
}

test.each(credentials)('credentials that fail are the operator’s to mend: $code', ({ code, text }) => {
  const failure = orderFailure(new Error(text), offer())
  expect(failure.reason).toBe('misconfigured')
  expect(failure.message).toMatch(told[code] as RegExp)
  expect(failure.message.endsWith(`(${code})`)).toBe(true)
})

test('the limit of an old account counts the machines of a type, and is told as EC2 does', async () => {
  const cloud = sampleCloud()
  const market = 'on-demand' as const
  cloud.state.putInstance(sampleInstance({ market }))
  cloud.faults.stage({ kind: 'instance-limit', instances: 1 })
  const refusal = await cloud.instances.run(wanted()).catch((error: Error) => error.message)
  expect(refusal).toContain(
    'api error InstanceLimitExceeded: You have requested more instances (2) than your current instance limit of 1 allows for the specified instance type.',
  )
})
