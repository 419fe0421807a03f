/** Where workers' SSH connections come from: pure, for the settings and for the program that opens the door. */
import { z } from 'zod'

/** Wider than any organisation's network: an entry such as 0.0.0.0/0 or 128.0.0.0/1 would let the whole Internet in. */
const widestPrefix = 8
/** A security group takes 60 rules. */
const mostNetworks = 60

/** IPv4 in CIDR form; a bare address stands for itself alone. AWS takes no block with bits beyond its prefix. */
const workerNetwork = z
  .string()
  .transform((text) => (text.includes('/') ? text : `${text}/32`))
  .pipe(z.cidrv4({ error: 'is no IPv4 network such as 198.51.100.4 or 203.0.113.0/28' }))
  .refine(isNetwork, 'has bits beyond its prefix')
  .refine((cidr) => prefixOf(cidr) >= widestPrefix, `lets too many in: a prefix is at least /${widestPrefix}`)

export const workerNetworks = z
  .array(workerNetwork)
  .min(1)
  .max(mostNetworks)
  .transform((networks): readonly string[] => [...new Set(networks)])

/** Whether all bits of a CIDR block beyond its prefix are 0. */
export function isNetwork(cidr: string): boolean {
  const [address = ''] = cidr.split('/')
  const bits = address.split('.').reduce((value, byte) => value * 256 + Number(byte), 0)
  return bits % 2 ** (32 - prefixOf(cidr)) === 0
}

const prefixOf = (cidr: string): number => Number(cidr.split('/')[1])
