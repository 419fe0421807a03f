import { expect, test } from 'vitest'
import { awsRefusal, orderFailure, type Verdict } from '../../../src/cloud/aws/errors.ts'
import { StackError } from '../../../src/cloud/pulumi/stack-child.ts'
import { offer } from '../samples.ts'

const sdkError = (name: string, message = 'no') => Object.assign(new Error(message), { name, $metadata: {} })

const engine = (code: string) =>
  `creating EC2 Instance: operation error EC2: RunInstances, https response error StatusCode: 500, RequestID: 0b7d, api error ${code}: We currently do not have sufficient capacity.\nsecond line`

const verdicts: readonly (readonly [string, Verdict])[] = [
  ['InsufficientInstanceCapacity', 'another-offer'],
  ['InsufficientHostCapacity', 'another-offer'],
  ['UnfulfillableCapacity', 'another-offer'],
  ['SpotMaxPriceTooLow', 'another-offer'],
  ['MaxSpotInstanceCountExceeded', 'another-offer'],
  ['Unsupported', 'another-offer'],
  ['VcpuLimitExceeded', 'another-offer'],
  ['InstanceLimitExceeded', 'another-offer'],
  ['RequestLimitExceeded', 'back-off'],
  ['InternalError', 'back-off'],
  ['ServiceUnavailable', 'back-off'],
  ['Unavailable', 'back-off'],
  ['AuthFailure', 'never'],
  ['UnauthorizedOperation', 'never'],
  ['InvalidParameterValue', 'never'],
  ['InvalidParameterCombination', 'never'],
  ['InvalidAMIID.NotFound', 'never'],
  ['OptInRequired', 'never'],
  ['SomethingNew', 'never'],
]

test.each(verdicts)('%s means %s, however it arrives', (code, verdict) => {
  expect(awsRefusal(sdkError(code))).toMatchObject({ code, verdict })
  expect(awsRefusal(new Error(engine(code)))).toMatchObject({ code, verdict })
  expect(awsRefusal(`Server.${code}: it ended`)).toMatchObject({ code, verdict, message: 'it ended' })
})

test('an engine’s text is cut down to the sentence that AWS said', () => {
  expect(awsRefusal(engine('InsufficientInstanceCapacity'))?.message).toBe(
    'We currently do not have sufficient capacity.',
  )
})

test('a capacity code is found without the words around it that name it', () => {
  expect(awsRefusal('unexpected state, last error: InsufficientInstanceCapacity')?.verdict).toBe(
    'another-offer',
  )
})

test.each(['Unsupported argument: foo', 'the service is Unavailable', 'InternalError in our own code'])(
  'everyday words are no refusal: %s',
  (text) => {
    expect(awsRefusal(new Error(text))).toBeUndefined()
  },
)

test('a connection that broke may work in a while', () => {
  const error = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
  expect(awsRefusal(error)).toMatchObject({ verdict: 'back-off', message: 'read ECONNRESET' })
  expect(orderFailure(error, offer()).evidence).toBe('read ECONNRESET')
})

test('an order without capacity says what was asked for, where, and why not', () => {
  const failure = orderFailure(new Error(engine('InsufficientInstanceCapacity')), offer())
  expect(failure.reason).toBe('no-capacity')
  expect(failure.message).toBe(
    'g6.xlarge (spot) in us-east-1a: none is free there at the moment (InsufficientInstanceCapacity)',
  )
  expect(failure.evidence).toContain('RequestID: 0b7d')
})

test('an order that was refused for good is internal, and so is an unclassified error', () => {
  expect(orderFailure(sdkError('UnauthorizedOperation'), offer()).reason).toBe('internal')
  expect(orderFailure(new Error('boom'), offer()).reason).toBe('internal')
})

test.each([
  ['VcpuLimitExceeded', 'quota'],
  ['MaxSpotInstanceCountExceeded', 'quota'],
  ['InstanceLimitExceeded', 'quota'],
  ['Unsupported', 'type-in-zone'],
  ['InsufficientInstanceCapacity', undefined],
])('%s excludes %s', (code, excludes) => {
  expect(orderFailure(sdkError(code), offer()).excludes).toBe(excludes)
})

test('a launch that went wrong inside AWS is tried elsewhere; a call that did may work in a while', () => {
  expect(awsRefusal('Client.InternalError: Client error on launch')?.verdict).toBe('another-offer')
  expect(awsRefusal('Server.InternalError: Internal error on launch')?.verdict).toBe('back-off')
})

test('an order that overran is no capacity there', () => {
  const failure = orderFailure(new StackError('overran', 'up', 'bellows-1', 'took too long'), offer())
  expect(failure).toMatchObject({ reason: 'no-capacity', message: expect.stringContaining('took too long') })
})

test('a provider’s own retries around a refusal hide nothing of it', () => {
  const text =
    'creating EC2 Instance: operation error EC2: RunInstances, exceeded maximum number of attempts, 3, ' +
    'https response error StatusCode: 500, RequestID: 0b7d, api error InsufficientInstanceCapacity: none'
  expect(awsRefusal(new Error(text))).toMatchObject({ code: 'InsufficientInstanceCapacity', message: 'none' })
})

test.each(['CredentialsProviderError', 'TokenProviderError'])(
  'credentials that the SDK can’t find are none: %s',
  (name) => {
    const error = Object.assign(new Error('Could not load credentials from any providers'), { name })
    expect(awsRefusal(error)).toMatchObject({ code: 'NoCredentials', verdict: 'never' })
    expect(orderFailure(error, offer()).reason).toBe('misconfigured')
  },
)

test('an order that AWS was too busy for, even after the retries, may pass elsewhere', () => {
  expect(orderFailure(sdkError('RequestLimitExceeded'), offer()).reason).toBe('no-capacity')
})
