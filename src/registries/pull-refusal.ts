/**
 * What Docker's and Podman's words for a pull that failed mean. Both pass on what the registry said: the codes of the
 * distribution specification (`MANIFEST_UNKNOWN`, `DENIED`, `TOOMANYREQUESTS` …) in each registry's own words.
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
 */
import { Failure } from '../failure.ts'
import { cut } from '../text.ts'
import { repositoryOf } from './image-name.ts'
import { type RegistryLogin, registryOf } from './registry.ts'

type Refusal = 'disk full' | 'rate limit' | 'denied' | 'not found' | 'unreachable' | 'unknown'

/** The first that fits: a registry that denies may say in the same breath that there may be no such image. */
const meanings: readonly (readonly [Refusal, RegExp])[] = [
  ['disk full', /no space left/i],
  ['rate limit', /toomanyrequests|too many requests|rate limit/i],
  [
    'denied',
    /denied|unauthori[sz]ed|not authorized|authentication required|no basic auth credentials|invalid username|forbidden|token has expired/i,
  ],
  [
    'not found',
    /manifest unknown|name unknown|not found|does not exist|no matching manifest|no image found|short-name|invalid reference/i,
  ],
  [
    'unreachable',
    /dial tcp|connection re(fused|set)|no such host|timeout|timed out|deadline exceeded|tls|x509|certificate|\bEOF\b|request canceled|network is unreachable|no route to host|(status|StatusCode|http status)\D{0,20}5\d\d|internal server error|bad gateway|service unavailable/i,
  ],
]

/** `said` are the lines of the engine that pulled. */
export function pullFailure(
  image: string,
  said: readonly string[],
  login: RegistryLogin | undefined,
): Failure {
  const lines = said.map((line) => withoutLogin(line, login))
  const refusal = refusalIn(lines.join('\n').replaceAll(repositoryOf(image), '…'))
  const registry = registryOf(image)
  const words = cut(lines.at(-1) ?? 'nothing was said', 300)
  const detail = `${sentences[refusal](registry, image, login !== undefined)}: ${words}`
  return new Failure(reasons[refusal], detail, { evidence: lines.join('\n') })
}

const refusalIn = (text: string): Refusal =>
  meanings.find(([, pattern]) => pattern.test(text))?.[0] ?? 'unknown'

const reasons = {
  'disk full': 'disk-full',
  'rate limit': 'registry-failed',
  denied: 'image-refused',
  'not found': 'image-refused',
  unreachable: 'registry-failed',
  unknown: 'internal',
} as const satisfies Record<Refusal, Failure['reason']>

type Sentence = (registry: string, image: string, withLogin: boolean) => string

const sentences: Readonly<Record<Refusal, Sentence>> = {
  'disk full': (_, image) => `the image ${image} does not fit on the machine's disk`,
  'rate limit': (registry, image, withLogin) =>
    `${registry} lets no more be pulled for now, and ${image} is not there` +
    (withLogin ? '' : ' (with a login it may let more: BELLOWS_REGISTRY_LOGINS)'),
  denied: (registry, image, withLogin) =>
    withLogin
      ? `${registry} does not let the login that is set for it pull the image ${image}`
      : `${registry} does not let the image ${image} be pulled without a login (BELLOWS_REGISTRY_LOGINS)`,
  'not found': (registry, image) => `${registry} has no image ${image} for this machine`,
  unreachable: (registry, image) => `${registry} could not be reached for the image ${image}`,
  unknown: (_, image) => `the image ${image} could not be pulled`,
}

/** Engines print addresses that they asked, with the account's name in them; no registry should say more. */
function withoutLogin(line: string, login: RegistryLogin | undefined): string {
  if (!login) return line
  const password = login.password.reveal()
  const secrets = [password, Buffer.from(`${login.user}:${password}`).toString('base64')]
  const hidden = secrets.reduce((text, secret) => text.replaceAll(secret, '[redacted]'), line)
  return hidden.replaceAll(/([?&]account=)[^&\s"]*/g, '$1[redacted]')
}
