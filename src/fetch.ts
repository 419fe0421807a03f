/**
 * `fetch`, for all of Bellows. Node 24's own (undici 7) ends the process where a server closes the connection while the
 * body of its answer still waits to be read, and nothing can catch that: nodejs/undici #5360, mended in undici 8 alone
 * (looked up on 25 November 2026). What libraries fetch by themselves goes by it too.
 */
import { Agent, EnvHttpProxyAgent, setGlobalDispatcher } from 'undici'

setGlobalDispatcher(new Agent())

type Proxies = { readonly httpProxy: string; readonly httpsProxy: string; readonly noProxy: string }

/** From now on; '' where there is none. `noProxy` lists hosts, by commas. */
export function fetchThrough(proxies: Proxies): void {
  setGlobalDispatcher(new EnvHttpProxyAgent(proxies))
}

export const fetch: typeof globalThis.fetch = (...request) => globalThis.fetch(...request)
