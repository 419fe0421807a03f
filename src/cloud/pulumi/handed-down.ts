/**
 * The part of the worker's environment that Pulumi's processes inherit, beside its own settings: where AWS's
 * credentials come from, how to reach the internet, and which CAs TLS trusts. Nothing else is passed on: a program in
 * a dependency sees no secret of the worker.
 *
 * The worker uses HTTP proxies itself too: its SDK clients and `fetch`. SSH and MongoDB connect directly.
 */
import { setGlobalProxyFromEnv } from 'node:http'
import { fetchThrough } from '../../fetch.ts'

/** Grouped by what reads them. */
const names = {
  /**
   * AWS's SDKs: a role of an ECS task or of a pod in EKS, a web identity, a profile (SSO, a role, a process). As in "AWS
   * SDKs and Tools Reference Guide", "Settings reference". A key in the environment is a setting of its own.
   */
  credentials: [
    'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI',
    'AWS_CONTAINER_CREDENTIALS_FULL_URI',
    'AWS_CONTAINER_AUTHORIZATION_TOKEN',
    'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE',
    'AWS_WEB_IDENTITY_TOKEN_FILE',
    'AWS_ROLE_ARN',
    'AWS_ROLE_SESSION_NAME',
    'AWS_PROFILE',
    'AWS_CONFIG_FILE',
    'AWS_SHARED_CREDENTIALS_FILE',
    'AWS_SDK_LOAD_CONFIG',
  ],
  /** Go's net/http (`ProxyFromEnvironment`), Node's `proxyEnv` and grpc-js; the last reads only lower case. */
  proxies: ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy', 'NO_PROXY', 'no_proxy'],
  /** AWS's SDK for Go; Go's crypto/x509; Node. */
  authorities: ['AWS_CA_BUNDLE', 'SSL_CERT_FILE', 'SSL_CERT_DIR', 'NODE_EXTRA_CA_CERTS'],
} as const

export const handedDownNames: readonly string[] = Object.values(names).flat()

/**
 * This computer, over which Pulumi's processes talk to each other, and the link-local addresses where EC2, ECS and EKS
 * give a machine its credentials: no proxy reaches them.
 */
const neverByProxy = ['localhost', '127.0.0.1', '::1', '169.254.169.254', '169.254.170.2', '169.254.170.23']

export type HandedDown = Readonly<Record<string, string>>

/** An empty variable counts as unset. */
export function handDown(environment: Readonly<Record<string, string | undefined>>): HandedDown {
  const given: Record<string, string> = {}
  for (const name of handedDownNames) {
    const value = environment[name]
    if (value) given[name] = /^https?_proxy$/i.test(name) ? withScheme(value) : value
  }
  if (!hasProxy(given)) return given
  const straight = [given.no_proxy ?? given.NO_PROXY ?? [], neverByProxy].flat().join(',')
  return { ...given, NO_PROXY: straight, no_proxy: straight }
}

/** The proxies that Node can't use, as `NAME: …`; Go supports others too, such as SOCKS. */
export function unusableProxies(handedDown: HandedDown): readonly string[] {
  return Object.entries(handedDown)
    .filter(([name, value]) => /^https?_proxy$/i.test(name) && !/^https?:$/.test(protocolOf(value)))
    .map(([name]) => `${name}: is not the address of an HTTP proxy, such as http://proxy:3128`)
}

/** From now on `fetch` and Node's own requests use the proxies, if any are set. */
export function useProxies(handedDown: HandedDown): void {
  if (!hasProxy(handedDown)) return
  setGlobalProxyFromEnv({ ...handedDown })
  const either = (name: string) => handedDown[name] ?? handedDown[name.toUpperCase()] ?? ''
  fetchThrough({
    httpProxy: either('http_proxy'),
    httpsProxy: either('https_proxy'),
    noProxy: either('no_proxy'),
  })
}

/** For an SDK client, which has agents of its own; nothing where there is no proxy. */
export function throughProxies(handedDown: HandedDown) {
  if (!hasProxy(handedDown)) return {}
  const agent = { proxyEnv: { ...handedDown } }
  return { httpAgent: agent, httpsAgent: agent }
}

function hasProxy(handedDown: HandedDown): boolean {
  return Object.keys(handedDown).some((name) => /^https?_proxy$/i.test(name))
}

/** As for curl and Go, `proxy:3128` is an address. */
const withScheme = (proxy: string): string => (proxy.includes('://') ? proxy : `http://${proxy}`)

function protocolOf(url: string): string {
  return URL.canParse(url) ? new URL(url).protocol : ''
}
