/**
 * Misspelt overrides: a field that is none of ours, but differs from one of ours only by case, underscores, hyphens or a
 * slip of one letter, and whose value would be valid there. To drop it would charge for another training than was asked
 * for, so it is refused before anything is charged. Fields that other systems keep in the same document look like ours by
 * chance: only those are asked about that a person can order something by, and an operator can name more that are not meant.
 */
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { cut, printable } from '../text.ts'
import { isOverrideFor, overrideNames } from './overrides.ts'

const text = z.string().min(1)

/** What a document asks for beside the overrides. */
const asked: Readonly<Record<string, z.ZodType>> = {
  offeringId: text,
  baseModel: text,
  modelName: text,
  triggerWord: text,
  trainerImage: text,
  environment: z.enum(['development', 'production']),
}

const known: ReadonlyMap<string, string> = new Map(
  [...Object.keys(asked), ...overrideNames].map((name) => [name, fold(name)]),
)

/** Complaints of one document; more are not told. */
const most = 5

/** A shorter name is a letter away from too many words. */
const shortest = 4
const longest = 64

/**
 * @param fields What the document says, by name, without those that have a meaning of their own but order nothing.
 * @param foreign Names of other systems' fields.
 * @returns Phrases such as `learning_rate is no field of a training (did you mean learningRate?)`
 */
export function misspelt(
  fields: Readonly<Record<string, unknown>>,
  foreign: readonly string[] = [],
): readonly string[] {
  const complaints: string[] = []
  for (const [name, value] of Object.entries(fields)) {
    if (complaints.length === most) break
    if (value === undefined || value === null || known.has(name) || foreign.includes(name)) continue
    const meant = alike(name).find(
      (each) =>
        isValid(each, value) && !(Object.hasOwn(fields, each) && isDeepStrictEqual(fields[each], value)),
    )
    if (meant) complaints.push(`${name} is no field of a training (did you mean ${meant}?)`)
  }
  return complaints
}

/** Of people who name nothing but overrides: what to tell them of a name that is none; undefined for one that is. */
export function unknownOverride(name: string): string | undefined {
  if (overrideNames.includes(name)) return undefined
  const meant = alike(name).find((each) => overrideNames.includes(each))
  const hint = meant ? `Did you mean ${meant}?` : `There are ${overrideNames.join(', ')}.`
  return `There is no override ${cut(printable(name), 80)}. ${hint}`
}

function isValid(name: string, value: unknown): boolean {
  const own = Object.hasOwn(asked, name) ? asked[name] : undefined
  return own ? own.safeParse(value).success : isOverrideFor(name, value)
}

/** Known names that this may have been meant for. */
function alike(name: string): readonly string[] {
  if (name.length > longest) return []
  const a = fold(name)
  return [...known].flatMap(([each, b]) =>
    a === b || (Math.min(a.length, b.length) >= shortest && isOneSlip(a, b)) ? [each] : [],
  )
}

function fold(name: string): string {
  return name.replace(/[_-]/g, '').toLowerCase()
}

/** One letter more, one less, another one, or two that have changed places. */
function isOneSlip(a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > 1) return false
  let start = 0
  while (start < a.length && a[start] === b[start]) start++
  const [left, right] = [a.slice(start), b.slice(start)]
  if (a.length !== b.length) return left.slice(1) === right || left === right.slice(1)
  if (left.slice(1) === right.slice(1)) return true
  return left[0] === right[1] && left[1] === right[0] && left.slice(2) === right.slice(2)
}
