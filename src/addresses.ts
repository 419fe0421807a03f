/** Under which names a server may be asked for: what else a browser asks for was planted in its resolver (DNS rebinding). */
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'

/** Reached from this computer alone. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/**
 * The listening address (all of this computer's, where it listens on every one), this computer's names for itself, and the
 * names that the operator has given.
 */
export function allowedHosts(listening: string, names: readonly string[]): ReadonlySet<string> {
  const isEvery = ['0.0.0.0', '::', ''].includes(listening)
  const own = isEvery
    ? Object.values(networkInterfaces()).flatMap(
        (addresses) => addresses?.map(({ address }) => address) ?? [],
      )
    : [listening]
  const all = [...own, ...names, 'localhost', '127.0.0.1', '::1']
  return new Set(all.map((name) => name.toLowerCase()))
}

/** The name in a Host header, without port, brackets and a final dot; undefined where there is none. */
export function hostName(header: string | undefined): string | undefined {
  const [, bracketed, plain] = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d+)?$/i.exec(header ?? '') ?? []
  return (bracketed ?? plain)?.toLowerCase().replace(/\.$/, '')
}
