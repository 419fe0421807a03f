/**
 * All mutants of a file at once, each behind a switch: `mutantIsOn(7) ? mutant : original`. So a file is compiled once, and
 * every run of its tests chooses by number; without a number it is the file as it was.
 */
import type { Mutant } from './plant.ts'

export type Numbered = Mutant & { readonly id: number }

/** What the switches call; in-worker.ts defines it. */
const isOn = 'globalThis.mutantIsOn'

type Site = Pick<Mutant, 'start' | 'end' | 'isStatement'> & { readonly mutants: readonly Numbered[] }

export function withSwitches(text: string, mutants: readonly Numbered[]): string {
  const places = Map.groupBy(mutants, ({ start, end, isStatement }) => `${start}-${end}-${isStatement}`)
  const outerFirst = [...places.values()].flatMap((at): readonly Site[] =>
    at[0] ? [{ ...at[0], mutants: at }] : [],
  )
  outerFirst.sort(
    (one, other) =>
      one.start - other.start || other.end - one.end || Number(other.isStatement) - Number(one.isStatement),
  )
  return rendered(text, 0, text.length, outerFirst)
}

/** The text from `start` to `end`, with the places in it switched. */
function rendered(text: string, start: number, end: number, places: readonly Site[]): string {
  let result = ''
  let at = start
  for (let index = 0; index < places.length; ) {
    const place = places[index] as Site
    const rest = places.slice(index + 1)
    const after = rest.findIndex((other) => other.start >= place.end)
    const inside = after === -1 ? rest : rest.slice(0, after)
    result += text.slice(at, place.start) + switched(place, rendered(text, place.start, place.end, inside))
    at = place.end
    index += 1 + inside.length
  }
  return result + text.slice(at, end)
}

/**
 * Statements in braces: a line that began with `(` would belong to the one before it, where there are no semicolons. So the
 * planter removes every statement that is an expression.
 */
function switched({ mutants, isStatement }: Site, original: string): string {
  if (isStatement) {
    const all = mutants.map(({ id }) => `!${isOn}(${id})`).join(' && ')
    return `{if (${all}) {${original}}}`
  }
  return mutants.reduce(
    (otherwise, { id, mutant }) => `(${isOn}(${id}) ? (${mutant}) : ${otherwise})`,
    `(${original})`,
  )
}
