/** What GPU machines cost now and where they are available, from the EC2 API of one region. */
import {
  type _InstanceType,
  type EC2Client,
  paginateDescribeInstanceTypeOfferings,
  paginateDescribeSpotPriceHistory,
} from '@aws-sdk/client-ec2'

export type ZonedType = { readonly type: string; readonly zone: string }
export type Price = ZonedType & { readonly usdPerHour: number }

/** The current spot price of each type in each zone; a type that a zone never sold is missing. */
export async function spotPrices(ec2: EC2Client, types: readonly string[]): Promise<readonly Price[]> {
  const newest = new Map<string, Price & { readonly since: number }>()
  // With the start at 'now' EC2 returns the prices in force; an emulator may send older ones too.
  const query = {
    InstanceTypes: types as _InstanceType[],
    ProductDescriptions: ['Linux/UNIX'],
    StartTime: new Date(),
  }
  for await (const page of paginateDescribeSpotPriceHistory({ client: ec2 }, query)) {
    for (const entry of page.SpotPriceHistory ?? []) {
      const { InstanceType: type, AvailabilityZone: zone } = entry
      const usdPerHour = Number(entry.SpotPrice)
      if (!type || !zone || !(usdPerHour > 0)) continue
      const key = `${type} ${zone}`
      const since = entry.Timestamp?.getTime() ?? 0
      if (since >= (newest.get(key)?.since ?? 0)) newest.set(key, { type, zone, usdPerHour, since })
    }
  }
  return [...newest.values()].map(({ type, zone, usdPerHour }) => ({ type, zone, usdPerHour }))
}

/** The zones that offer each type at all, on demand included. */
export async function zonedTypesOf(ec2: EC2Client, types: readonly string[]): Promise<readonly ZonedType[]> {
  const places: ZonedType[] = []
  const query = {
    LocationType: 'availability-zone' as const,
    Filters: [{ Name: 'instance-type', Values: [...types] }],
  }
  for await (const page of paginateDescribeInstanceTypeOfferings({ client: ec2 }, query)) {
    for (const { InstanceType: type, Location: zone } of page.InstanceTypeOfferings ?? []) {
      if (type && zone && types.includes(type)) places.push({ type, zone })
    }
  }
  return places
}
