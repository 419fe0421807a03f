/**
 * Orders that were refused, and what they say of those to come. A job tries all that it may have, in a round: the cheapest
 * first, which are spot machines, and on demand in turns with them once three were refused, since a drought of spot
 * capacity is rarely one zone's. After the round it waits in the queue (hold.ts), and the next begins afresh.
 *
 * A refusal that no machine came of is no attempt: it costs nothing, and is forgotten once its teardown has proved that nothing
 * is left. What stays is a count by offer.
 */

import type { Offer } from '../../cloud/machines.ts'
import { quotaOf } from '../../cloud/quotas.ts'
import type { Reason } from '../../failure.ts'
import { type Attempt, launched, type Run } from '../../trainings/runs.ts'

/** Refusals of spot machines before one on demand is tried, though it costs more. */
const spotFirst = 3

const notTheJobs: readonly (Reason | undefined)[] = ['no-capacity', 'budget-used-up', 'misconfigured']

/** Nothing came of the order, for a reason that has nothing to do with the job. */
export function wasRefused(attempt: Attempt): boolean {
  return notTheJobs.includes(attempt.failure?.reason) && !launched(attempt)
}

/** Those of the present round, whether or not a machine came of them. */
export function refusalsOf({ attempts, waiting }: Run): readonly Attempt[] {
  return attempts.filter(
    ({ failure, orderedAt }) =>
      failure?.reason === 'no-capacity' && (!waiting || orderedAt > waiting.roundEndedAt),
  )
}

/** Not to be tried (again): no capacity in this round, it was faulty, or was reclaimed twice. */
export function isExcluded(offer: Offer, run: Run): boolean {
  if (refusalsOf(run).some((refused) => excludes(refused, offer))) return true
  const same = run.attempts.filter(({ offer: tried }) => isSame(tried, offer))
  const count = (reason: string) => same.filter(({ failure }) => failure?.reason === reason).length
  return count('machine-broken') > 0 || count('machine-lost') > 1
}

function excludes({ offer: tried, failure }: Attempt, offer: Offer): boolean {
  if (failure?.excludes === 'quota' && quotaOf(tried) === quotaOf(offer)) return true
  if (failure?.excludes === 'type-in-zone' && tried.type === offer.type && tried.zone === offer.zone)
    return true
  return isSame(tried, offer)
}

const isSame = (one: Offer, other: Offer): boolean =>
  one.type === other.type && one.zone === other.zone && one.market === other.market

/** The next of the offers that are left, given cheapest first: the cheapest, or the cheapest on demand where it is its turn. */
export function inTurn<T extends { readonly offer: Offer }>(left: readonly T[], run: Run): T | undefined {
  const refused = refusalsOf(run)
  const onDemand = refused.filter(({ offer }) => offer.market === 'on-demand').length
  const spot = refused.length - onDemand
  const isItsTurn = spot - onDemand >= spotFirst
  const preferred = isItsTurn ? left.find(({ offer }) => offer.market === 'on-demand') : undefined
  return preferred ?? left[0]
}

/**
 * Why nothing can be had, in the same words for the same refusals, whatever was asked for first and at what price: quotas by the
 * names under which more is asked for.
 */
export function whyNone(refused: readonly Attempt[]): string {
  const quotas = refused.filter(({ failure }) => failure?.excludes === 'quota')
  const others = refused.filter(({ failure }) => failure?.excludes !== 'quota')
  const names = unique(quotas.map(({ offer }) => quotaOf(offer)))
  const types = unique(others.map(({ offer }) => `${offer.type} (${inWords(offer)})`))
  return [
    ...(types.length > 0 ? [`none is free of ${types.join(', ')}`] : []),
    ...(names.length > 0
      ? [`the account’s quota ${names.join(' and ')} allows no more: ask AWS to raise it`]
      : []),
  ].join('; ')
}

const inWords = ({ market }: Offer) => (market === 'spot' ? 'spot' : 'on demand')

const unique = (words: readonly string[]): readonly string[] => [...new Set(words)].sort()

/** The counts by offer with these added. */
export function tallied(
  refused: readonly Attempt[],
  before: Readonly<Record<string, number>> = {},
): Readonly<Record<string, number>> {
  const counts: Record<string, number> = { ...before }
  for (const { offer } of refused) {
    const name = `${offer.type} ${offer.zone} ${offer.market}`.replaceAll('.', '_') // a field's name in the database
    counts[name] = (counts[name] ?? 0) + 1
  }
  return counts
}
