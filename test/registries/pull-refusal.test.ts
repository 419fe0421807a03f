import { expect, test } from 'vitest'
import { pullFailure } from '../../src/registries/pull-refusal.ts'
import { Secret } from '../../src/secret.ts'

const image = 'ghcr.io/lab/trainer:1'
const login = { user: 'lab-robot', password: new Secret('ghp_secret') }

/** What Docker 20.10 and Podman 5.4 print, and, in them, what registries say. */
test.each([
  ['manifest unknown', 'image-refused'],
  ['manifest for ghcr.io/lab/trainer:1 not found: manifest unknown: manifest unknown', 'image-refused'],
  ["name unknown: The repository with name 'a' does not exist in the registry with id '1'", 'image-refused'],
  ['no matching manifest for linux/amd64 in the manifest list entries', 'image-refused'],
  ['Head "https://ghcr.io/v2/lab/trainer/manifests/1": no basic auth credentials', 'image-refused'],
  ['Head "https://ghcr.io/v2/lab/trainer/manifests/1": denied: denied', 'image-refused'],
  ['unauthorized: authentication required', 'image-refused'],
  ['unable to retrieve auth token: invalid username/password: unauthorized', 'image-refused'],
  [
    "pull access denied for a, repository does not exist or may require 'docker login': denied",
    'image-refused',
  ],
  ['denied: Your authorization token has expired. Reauthenticate and try again.', 'image-refused'],
  [
    'denied: Permission "artifactregistry.repositories.downloadArtifacts" denied on resource',
    'image-refused',
  ],
  ['toomanyrequests: You have reached your pull rate limit.', 'registry-failed'],
  ['StatusCode: 429, too many requests to registry', 'registry-failed'],
  ['received unexpected HTTP status: 503 Service Unavailable', 'registry-failed'],
  ['Get "https://ghcr.io/v2/": dial tcp 140.82.121.33:443: connect: connection refused', 'registry-failed'],
  ['Get "https://ghcr.io/v2/": dial tcp: lookup ghcr.io: no such host', 'registry-failed'],
  ['Get "https://ghcr.io/v2/": net/http: TLS handshake timeout', 'registry-failed'],
  ['tls: failed to verify certificate: x509: certificate signed by unknown authority', 'registry-failed'],
  ['failed to register layer: write /usr/lib/libtorch.so: no space left on device', 'disk-full'],
  ['the daemon has a bad day', 'internal'],
])('%s is %s', (said, reason) => {
  const failure = pullFailure(image, ['1: Pulling from lab/trainer', said], undefined)
  expect(failure.reason).toBe(reason)
  expect(failure.message).toContain(image)
  expect(failure.message.endsWith(`: ${said}`)).toBe(true)
})

test('the image’s own name says nothing of what went wrong', () => {
  const denied = 'registry.example/denied/timeout:429'
  const failure = pullFailure(denied, [`reading manifest 429 in ${denied}: manifest unknown`], login)
  expect(failure.message).toMatch(
    /^registry\.example has no image registry\.example\/denied\/timeout:429 for/,
  )
})

test('what a login holds is in neither sentence nor evidence', () => {
  const said = [
    'Get "https://auth.example/token?account=lab-robot&scope=pull": unauthorized',
    `sent Basic ${Buffer.from('lab-robot:ghp_secret').toString('base64')}`,
    'denied for ghp_secret',
  ]
  const { message, evidence } = pullFailure(image, said, login)
  expect(message).toBe(
    'ghcr.io does not let the login that is set for it pull the image ghcr.io/lab/trainer:1: denied for [redacted]',
  )
  expect(evidence).toBe(
    'Get "https://auth.example/token?account=[redacted]&scope=pull": unauthorized\nsent Basic [redacted]\ndenied for [redacted]',
  )
})
