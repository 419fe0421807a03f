/**
 * What AWS's refusals mean for an order, in one table. The codes reach us three ways: as the `name` of an
 * SDK error, inside the text of Pulumi's engine (`api error InsufficientInstanceCapacity: …`), and late,
 * as the StateReason of an instance that was accepted and then ended
 * (`Server.InsufficientInstanceCapacity: …`).
 * https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
 */
import { type Excludes, Failure } from '../../failure.ts'
import { isConnectionError } from '../../retry.ts'
import { workerFault } from '../../worker-fault.ts'
import type { Offer } from '../machines.ts'
import { StackError } from '../pulumi/stack-child.ts'

export type Verdict =
  /** Another type, zone or market may be available at once. */
  | 'another-offer'
  /** The same request may work in a while. */
  | 'back-off'
  /** An operator must fix the account, the permissions or the program. */
  | 'never'

export type AwsRefusal = { readonly code: string; readonly verdict: Verdict; readonly message: string }

type Row = {
  readonly verdict: Verdict
  readonly because: string
  readonly excludes?: Excludes
  /** Of those that never pass: what the order ends with. Default: 'internal'. */
  readonly reason?: 'misconfigured'
}

const elsewhere = (because: string, excludes?: Excludes): Row => ({
  verdict: 'another-offer',
  because,
  ...(excludes && { excludes }),
})
const later = (because: string): Row => ({ verdict: 'back-off', because })
const never = (because: string): Row => ({ verdict: 'never', because })
/** The operator's: jobs wait meanwhile. */
const setting = (because: string): Row => ({ ...never(because), reason: 'misconfigured' })

const unknownCredentials = 'AWS does not know the worker’s credentials, or they were taken back'
const expiredCredentials = 'the worker’s AWS credentials have expired'

const table: Readonly<Record<string, Row>> = {
  InsufficientInstanceCapacity: elsewhere('none is free there at the moment'),
  InsufficientHostCapacity: elsewhere('none is free there at the moment'),
  InsufficientCapacity: elsewhere('none is free there at the moment'),
  UnfulfillableCapacity: elsewhere('none is free there at the moment'),
  InsufficientVolumeCapacity: elsewhere('no disk is free there at the moment'),
  InsufficientFreeAddressesInSubnet: elsewhere('the zone’s network has no free address'),
  SpotMaxPriceTooLow: elsewhere('the spot price has risen'),
  MaxSpotInstanceCountExceeded: elsewhere('the account’s quota for spot machines is used up', 'quota'),
  Unsupported: elsewhere('the zone does not have this type', 'type-in-zone'),
  VcpuLimitExceeded: elsewhere('the account’s vCPU quota is used up', 'quota'),
  InstanceLimitExceeded: elsewhere('the account’s quota for machines is used up', 'quota'),
  SpotInstanceTermination: elsewhere('the spot machine was taken back while it started'),
  SpotInstanceShutdown: elsewhere('the spot machine was taken back while it started'),
  /** Only as a StateReason: the launch went wrong, mostly for the machine's disk, and goes wrong again there. */
  'Client.InternalError': elsewhere('the machine could not be started there'),

  RequestLimitExceeded: later('too many requests'),
  Throttling: later('too many requests'),
  ThrottlingException: later('too many requests'),
  InternalError: later('a fault inside AWS'),
  InternalFailure: later('a fault inside AWS'),
  ServerException: later('a fault inside AWS'),
  ServiceUnavailable: later('the service is unavailable'),
  Unavailable: later('the service is unavailable'),
  RequestTimeout: later('the service did not answer in time'),

  AuthFailure: setting(unknownCredentials),
  InvalidClientTokenId: setting(unknownCredentials),
  UnrecognizedClientException: setting(unknownCredentials),
  SignatureDoesNotMatch: setting(unknownCredentials),
  ExpiredToken: setting(expiredCredentials),
  ExpiredTokenException: setting(expiredCredentials),
  RequestExpired: setting('the clock of the worker is wrong, or its AWS credentials have expired'),
  /** No code of AWS's: nothing was found to ask it with. */
  NoCredentials: setting(
    'the worker has no AWS credentials: AWS_ACCESS_KEY_ID, a profile that is logged in, or a role',
  ),
  UnauthorizedOperation: never('the credentials lack a permission'),
  AccessDenied: never('the credentials lack a permission'),
  OptInRequired: never('the account has not opted in to this'),
  PendingVerification: never('AWS is still verifying the account'),
  Blocked: never('AWS has blocked the account'),
  VolumeLimitExceeded: never('the account’s disk quota is used up'),
}

/** For a resource whose name is taken: `InvalidKeyPair.Duplicate`. */
const duplicate = /\.Duplicate$/

/** Whole families of codes: anything with this prefix is a mistake in the request. */
const families: readonly (readonly [RegExp, Row])[] = [
  [duplicate, never('something of that name is there already')],
  [
    /^InvalidAMIID\b/,
    setting('the machine image that BELLOWS_AMI names does not exist there, or may not be used'),
  ],
  [/^InvalidParameter/, never('the request is wrong')],
  [/^Invalid/, never('the request names something that does not exist or is malformed')],
]

const unknown: Row = never('AWS refused')

/** The refusal in an SDK error, an engine's text or a StateReason; undefined where there is none. */
export function awsRefusal(error: unknown): AwsRefusal | undefined {
  const text = textOf(error)
  const code = sdkCode(error) ?? codeIn(text) ?? (hasNoCredentials(error) ? 'NoCredentials' : undefined)
  if (code) return { code, verdict: rowOf(code).verdict, message: messageAfter(code, text) }
  if (isConnectionError(error)) return { code: 'NoConnection', verdict: 'back-off', message: firstLine(text) }
  return undefined
}

/** What a refused order ends with. The detail may be shown to the job's owner. */
export function orderFailure(error: unknown, offer: Offer): Failure {
  const wanted = `${offer.type} (${offer.market}) in ${offer.zone}`
  const fault = workerFault(error)
  const refusal = fault ? undefined : awsRefusal(error)
  const overran = error instanceof StackError && error.kind === 'overran'
  const context = { cause: error, evidence: textOf(error) }
  if (fault) return new Failure('internal', `${wanted} could not be made: ${fault}`, context)
  if (!refusal && (overran || neverCame(error)))
    return new Failure('no-capacity', `${wanted}: the order took too long`, context)
  if (!refusal) return new Failure('internal', `${wanted} could not be made`, context)
  const { because, excludes, reason = 'internal' } = rowOf(refusal.code)
  const detail = `${wanted}: ${because} (${refusal.code})`
  // What still fails after the retries may work elsewhere: another zone is another part of AWS.
  return new Failure(refusal.verdict === 'never' ? reason : 'no-capacity', detail, {
    ...context,
    excludes,
  })
}

/** What a question ends with whose refusal is the operator's to mend; undefined for all others. */
export function settingFailure(error: unknown): Failure | undefined {
  const code = awsRefusal(error)?.code ?? ''
  const { reason, because } = rowOf(code)
  return reason && new Failure(reason, `${because} (${code})`, { cause: error, evidence: textOf(error) })
}

/** As the SDK, Terraform's provider and Pulumi's say it. */
const hasNoCredentials = (error: unknown): boolean =>
  (error instanceof Error && /^(Credentials|Token)ProviderError$/.test(error.name)) ||
  /\b(No valid credential sources found|Invalid credentials configured|failed to get shared config profile)\b/.test(
    textOf(error),
  )

/** The provider gave up waiting for a machine, or saw it end, and EC2 said no reason. */
const neverCame = (error: unknown): boolean =>
  /waiting for EC2 Instance \(\S+\) create: (timeout while waiting|unexpected state)/.test(textOf(error))

/** An error that says that the named resource does not exist, such as `InvalidVolume.NotFound`. */
export const isGone = (error: unknown): boolean => /\.NotFound$/.test(sdkCode(error) ?? '')

/** An error that says that a resource which is itself ending still depends on it. */
export const isHeld = (error: unknown): boolean => sdkCode(error) === 'DependencyViolation'

/** Part of the order exists already: made by an engine that died before recording it, or by a third party. */
export const isDuplicate = (error: unknown): boolean => duplicate.test(awsRefusal(error)?.code ?? '')

/** A StateReason of an instance that EC2 accepted but never started: none of it is billed. */
export function neverRan(stateReason: string | undefined): boolean {
  return /^(Server\.Insufficient\w*Capacity|Client\.InternalError)\b/.test(stateReason ?? '')
}

export const isTransientRefusal = (error: unknown): boolean => awsRefusal(error)?.verdict === 'back-off'

function rowOf(code: string): Row {
  return table[code] ?? families.find(([pattern]) => pattern.test(code))?.[1] ?? unknown
}

function sdkCode(error: unknown): string | undefined {
  return error instanceof Error && '$metadata' in error ? bare(error.name) : undefined
}

/** Codes that are not ordinary words: recognised anywhere in a text. */
const unmistakable = Object.keys(table).filter((code) => /[a-z][A-Z]/.test(code) && code !== 'InternalError')
const forms = [
  /\bapi error ([A-Za-z][\w.]*):/,
  /\b((?:Server|Client)\.[A-Za-z][\w.]*)\b/,
  new RegExp(`\\b(${unmistakable.join('|')})\\b`),
]

function codeIn(text: string): string | undefined {
  for (const form of forms) {
    const code = form.exec(text)?.[1]
    if (code) return bare(code)
  }
  return undefined
}

function bare(code: string): string {
  const whole = code.replace(/\.$/, '')
  return whole in table ? whole : whole.replace(/^(Server|Client)\./, '')
}

function messageAfter(code: string, text: string): string {
  const start = text.indexOf(code)
  const rest = start < 0 ? text : text.slice(start + code.length).replace(/^[:.\s]+/, '')
  return firstLine(rest) || firstLine(text)
}

const firstLine = (text: string): string => text.trim().split('\n', 1)[0]?.trim() ?? ''

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
