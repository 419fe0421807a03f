/** Which machines could be rented now, cheapest first: the market's prices within the operator's limits. */
import type { EC2Client } from '@aws-sdk/client-ec2'
import { type GpuType, gpuTypes } from '../gpu-types.ts'
import type { Offer, Requirements } from '../machines.ts'
import { settingFailure } from './errors.ts'
import { type Price, spotPrices, type ZonedType, zonedTypesOf } from './prices.ts'

export type OfferLimits = {
  /** Types that may be ordered; all of the catalogue when absent. */
  readonly types?: readonly string[]
  /** Zones with a subnet, by region: machines can't be placed anywhere else. */
  readonly zones: Readonly<Record<string, readonly string[]>>
  /** 'spot-first' offers both, by price; 'on-demand' never a machine that can be reclaimed. */
  readonly market: 'spot-first' | 'on-demand'
  /** USD an hour by type, instead of the catalogue's dated prices. */
  readonly onDemandUsdPerHour?: Readonly<Record<string, number>>
}

export type Market = {
  readonly region: string
  readonly places: readonly ZonedType[]
  readonly spot: readonly Price[]
}

export type Region = { readonly region: string; readonly ec2: EC2Client }

/** Queries all regions at once. A region that does not answer offers nothing; throws if none answers. */
export async function currentOffers(
  regions: readonly Region[],
  need: Requirements,
  limits: OfferLimits,
  signal?: AbortSignal,
): Promise<readonly Offer[]> {
  const types = sufficient(need, limits).map(({ type }) => type)
  if (types.length === 0) return []
  const asked = await Promise.allSettled(regions.map((region) => marketOf(region, types, limits)))
  signal?.throwIfAborted()
  const markets = asked.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
  const refused = asked.find((answer) => answer.status === 'rejected')
  if (markets.length === 0 && refused) {
    const { reason: cause } = refused
    throw settingFailure(cause) ?? new Error('No region told its prices', { cause })
  }
  return offersIn(markets, need, limits)
}

async function marketOf(
  { region, ec2 }: Region,
  types: readonly string[],
  limits: OfferLimits,
): Promise<Market> {
  const [places, spot] = await Promise.all([
    zonedTypesOf(ec2, types),
    limits.market === 'on-demand' ? [] : spotPrices(ec2, types),
  ])
  return { region, places, spot }
}

/** Every sufficient and allowed offer of these markets, cheapest first, spot before on demand. */
export function offersIn(
  markets: readonly Market[],
  need: Requirements,
  limits: OfferLimits,
): readonly Offer[] {
  const offers = sufficient(need, limits).flatMap((type) =>
    markets.flatMap((market) => offersOf(type, market, limits)),
  )
  return offers.sort(
    (one, other) =>
      one.usdPerHour - other.usdPerHour ||
      rank(one) - rank(other) ||
      one.zone.localeCompare(other.zone) ||
      one.type.localeCompare(other.type),
  )
}

function sufficient(need: Requirements, limits: OfferLimits): readonly GpuType[] {
  return gpuTypes.filter(
    ({ type, gpus, gpuMemoryGb }) =>
      gpus >= need.gpus && gpuMemoryGb >= need.gpuMemoryGb && (limits.types?.includes(type) ?? true),
  )
}

function offersOf(gpuType: GpuType, { region, places, spot }: Market, limits: OfferLimits): readonly Offer[] {
  const { type, gpu, gpus, gpuMemoryGb } = gpuType
  const here = ({ type: its, zone }: ZonedType) =>
    its === type && (limits.zones[region]?.includes(zone) ?? false)
  const base = { provider: 'aws', type, gpu, gpus, gpuMemoryGb, region } as const
  const onDemand = limits.onDemandUsdPerHour?.[type] ?? gpuType.usdPerHour
  return [
    ...(limits.market === 'on-demand' ? [] : spot.filter(here)).map(
      ({ zone, usdPerHour }): Offer => ({ ...base, zone, market: 'spot', usdPerHour }),
    ),
    ...places
      .filter(here)
      .map(({ zone }): Offer => ({ ...base, zone, market: 'on-demand', usdPerHour: onDemand })),
  ]
}

const rank = ({ market }: Offer): number => (market === 'spot' ? 0 : 1)
