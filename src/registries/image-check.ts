/**
 * Whether a registry has an image and hands it out, asked before a machine is rented for it. Only what the registry itself says
 * counts: one that can't be reached from here, or answers as no registry does, may do otherwise for the machine.
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
 */
import { z } from 'zod'
import { isLoopback } from '../addresses.ts'
import { Failure } from '../failure.ts'
import { fetch } from '../fetch.ts'
import { repositoryOf } from './image-name.ts'
import { pullFailure } from './pull-refusal.ts'
import { type LoginFor, namesRegistry, type RegistryLogin, registryOf } from './registry.ts'

/** Rejects with Failure('image-refused'), or with the signal's reason when it aborts. */
export type CheckImage = (image: string, signal: AbortSignal) => Promise<void>

const limitMs = 15_000
const mostBytes = 64 * 1024

export const imageCheck =
  (loginFor: LoginFor): CheckImage =>
  async (image, signal) => {
    // One without a registry may be on the machine already.
    if (!namesRegistry(image)) return
    try {
      const login = await loginFor(registryOf(image))
      const refusal = await refusalOf(image, login, AbortSignal.any([signal, AbortSignal.timeout(limitMs)]))
      const failure = refusal === undefined ? undefined : pullFailure(image, [refusal], login)
      if (failure?.reason === 'image-refused') throw failure
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof Failure && error.reason === 'image-refused') throw error
    }
  }

/** What the registry says against it, such as `manifest unknown: …`. */
async function refusalOf(
  image: string,
  login: RegistryLogin | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { url, repository } = manifestOf(image)
  // HEAD counts for no pull (https://docs.docker.com/docker-hub/usage/pulls/); only GET says why not.
  const ask = (method: 'HEAD' | 'GET', authorization?: string) =>
    fetch(url, {
      method,
      headers: { accept: manifestTypes, ...(authorization && { authorization }) },
      redirect: 'manual',
      signal,
    })
  let answer = await ask('HEAD')
  let authorization: string | undefined
  if (answer.status === 401) {
    const demanded = await authorizationFor(answer, repository, login, signal)
    if (typeof demanded === 'object') return demanded.refused
    authorization = demanded
    answer = await ask('HEAD', authorization)
  }
  return answer.ok ? undefined : said(await ask('GET', authorization))
}

/** https://distribution.github.io/distribution/spec/auth/token/ */
async function authorizationFor(
  { headers, url }: Response,
  repository: string,
  login: RegistryLogin | undefined,
  signal: AbortSignal,
): Promise<string | undefined | { readonly refused: string }> {
  const [, scheme = '', words = ''] = /^(\w+)\s+(.*)$/.exec(headers.get('www-authenticate') ?? '') ?? []
  const basic = login && `Basic ${btoa(`${login.user}:${login.password.reveal()}`)}`
  if (scheme.toLowerCase() === 'basic') return basic
  const given = Object.fromEntries(
    [...words.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key, value]),
  )
  if (scheme.toLowerCase() !== 'bearer' || !given.realm) return undefined
  const realm = new URL(given.realm)
  if (realm.protocol !== 'https:' && realm.origin !== new URL(url).origin) return undefined
  if (given.service) realm.searchParams.set('service', given.service)
  realm.searchParams.set('scope', `repository:${repository}:pull`)
  const answer = await fetch(realm, {
    headers: { ...(basic && { authorization: basic }) },
    redirect: 'manual',
    signal,
  })
  if (answer.status === 401 || answer.status === 403)
    return { refused: (await said(answer)) ?? 'unauthorized: no token was given' }
  const token = tokenSchema.safeParse(await jsonOf(answer)).data
  return token && `Bearer ${token.token ?? token.access_token}`
}

const tokenSchema = z.object({ token: z.string().optional(), access_token: z.string().optional() })

/** In a registry's words alone: a proxy's 404 says nothing of the image. */
async function said(answer: Response): Promise<string | undefined> {
  const [first] = errorsSchema.safeParse(await jsonOf(answer)).data?.errors ?? []
  return first && `${first.code.toLowerCase().replaceAll('_', ' ')}: ${first.message ?? answer.status}`
}

const errorsSchema = z.object({
  errors: z.array(z.object({ code: z.string(), message: z.string().optional() })),
})

async function jsonOf(answer: Response): Promise<unknown> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of answer.body ?? []) {
    length += chunk.length
    if (length > mostBytes) return undefined
    chunks.push(chunk)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString())
  } catch {
    return undefined
  }
}

/** Engines speak HTTP to loopback alone. */
function manifestOf(image: string): { readonly url: string; readonly repository: string } {
  const registry = registryOf(image)
  const host = registry === 'docker.io' ? 'registry-1.docker.io' : registry
  const scheme = isLoopback(host.replace(/:\d+$/, '')) ? 'http' : 'https'
  const path = repositoryOf(image).replace(/^[^/]*\//, '')
  const repository = registry === 'docker.io' && !path.includes('/') ? `library/${path}` : path
  const [, digest] = /@(.+)$/.exec(image) ?? []
  const [, tag = 'latest'] = /:([^:/@]+)(?:@.*)?$/.exec(image) ?? []
  return { url: `${scheme}://${host}/v2/${repository}/manifests/${digest ?? tag}`, repository }
}

const manifestTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ')
