/**
 * AWS counts a region's vCPUs against a quota for each family of types, spot and on demand separately: a refusal for
 * one says nothing about another. The names are those of Service Quotas → Amazon EC2, where an increase is requested.
 */
import type { Offer } from './machines.ts'

const names: readonly (readonly [family: RegExp, spot: string, onDemand: string])[] = [
  [/^(g|vt)\d/, 'All G and VT Spot Instance Requests', 'Running On-Demand G and VT instances'],
  [/^p5/, 'All P5 Spot Instance Requests', 'Running On-Demand P instances'],
  [/^p\d/, 'All P4, P3 and P2 Spot Instance Requests', 'Running On-Demand P instances'],
]

/** The quota that a machine counts against; two offers with the same quota share it. */
export function quotaOf({ type, market, region }: Pick<Offer, 'type' | 'market' | 'region'>): string {
  const [, spot, onDemand] = names.find(([family]) => family.test(type)) ?? []
  const family = type.split('.', 1)[0]
  const name = market === 'spot' ? (spot ?? `${family}, spot`) : (onDemand ?? `${family}, on demand`)
  return `“${name}” in ${region}`
}
