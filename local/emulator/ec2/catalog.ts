/**
 * What the emulator's EC2 sells: one region with three zones, the machine types that Bellows may order with
 * vCPUs and prices, and one image. Prices are August 2026's on demand in us-east-1, in USD an hour.
 */
export type CatalogType = { readonly vcpus: number; readonly usdPerHour: number; readonly zones: string }

export const localRegion = 'us-east-1'

/** `zones` are the letters of the zones that have the type. */
export const catalog: Readonly<Record<string, CatalogType>> = {
  'g6.xlarge': { vcpus: 4, usdPerHour: 0.8, zones: 'abc' },
  'g5.xlarge': { vcpus: 4, usdPerHour: 1.01, zones: 'abc' },
  'g6e.xlarge': { vcpus: 4, usdPerHour: 1.86, zones: 'abc' },
  'g6e.2xlarge': { vcpus: 8, usdPerHour: 2.24, zones: 'ab' },
  'p5.4xlarge': { vcpus: 16, usdPerHour: 6.88, zones: 'b' },
}

export const zones = ['a', 'b', 'c'].map((letter) => `${localRegion}${letter}`)

export const zonesOf = (type: string): readonly string[] =>
  [...(catalog[type]?.zones ?? '')].map((letter) => `${localRegion}${letter}`)

export const imageId = 'ami-0be11005000000001'

/** What the image's root disk is made from. */
export const imageSnapshot = { id: 'snap-0be11005000000001', gb: 30 } as const

export const rootDevice = '/dev/sda1'

export const imageParameter =
  '/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id'

export const accountId = '000000000000'

const hour = 3_600_000

/**
 * The spot price of a type in a zone: between 35 % and 65 % of the price on demand, another each six hours,
 * and the same whenever it is asked for.
 */
export function spotPrice(type: string, zone: string, at: Date): { usdPerHour: number; since: Date } {
  const since = Math.floor(at.getTime() / (6 * hour)) * 6 * hour
  const share = 0.35 + 0.3 * fraction(`${type} ${zone} ${since}`)
  return { usdPerHour: (catalog[type]?.usdPerHour ?? 0) * share, since: new Date(since) }
}

/** FNV-1a, as a number from 0 to 1. */
function fraction(text: string): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return hash / 2 ** 32
}
