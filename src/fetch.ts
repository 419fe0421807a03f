/**
 * The `fetch` of all of Bellows. Node 24's own (undici 7) crashes the process where a server closes the connection
 * while the response body is still unread, and nothing can catch that: nodejs/undici #5360, fixed in undici 8 only
 * (checked on 25 November 2026). Libraries that call `fetch` use it too.
 */
import { Agent, EnvHttpProxyAgent, setGlobalDispatcher } from 'undici'

setGlobalDispatcher(new Agent())

type Proxies = { readonly httpProxy: string; readonly httpsProxy: string; readonly noProxy: string }

/** From now on; '' for none. `noProxy` lists hosts, separated by commas. */
export function fetchThrough(proxies: Proxies): void {
  setGlobalDispatcher(new EnvHttpProxyAgent(proxies))
}

export const fetch: typeof globalThis.fetch = (...request) => globalThis.fetch(...request)
