/**
 * The trigger word in captions and prompts. Whether a text has it is a question of words: "desks" has no "sks". The trainers'
 * data.py has the same rule, and both are held to the cases of test/trainers/trigger_words.json.
 */
import { Failure } from '../failure.ts'
import { printable } from '../text.ts'

/** As the plan has it. */
const longest = 64

/** Letters, their marks, digits and the underscore of tags make words … */
const ofWords = String.raw`[\p{L}\p{M}\p{N}_]`
/** … but not in scripts that put no space between words: there each may stand by itself. */
const withoutSpaces = ['Han', 'Hiragana', 'Katakana', 'Thai', 'Lao', 'Khmer', 'Myanmar']
const unparted = `(?:${withoutSpaces.map((script) => String.raw`\p{Script=${script}}`).join('|')})`
const joining = `(?!${unparted})${ofWords}`

/** Null if there is none. Refused where it is too long: a shorter one would be another word. */
export function checkTriggerWord(given: string | undefined): string | null {
  const word = printable(given ?? '').trim()
  if (word.length <= longest) return word || null
  const detail = `triggerWord has ${word.length} characters, but may have at most ${longest}`
  throw new Failure('bad-request', detail)
}

/** `text` with the word where it says `[trigger]`, as it is if it has the word, else behind the word. */
export function withTrigger(text: string, trigger: string | null): string {
  const trimmed = text.trim()
  if (trigger === null) return trimmed.replaceAll('[trigger]', '').trim()
  if (trimmed.includes('[trigger]')) return trimmed.replaceAll('[trigger]', () => trigger)
  if (hasWord(trimmed, trigger)) return trimmed
  return trimmed === '' ? trigger : `${trigger}, ${trimmed}`
}

function hasWord(text: string, word: string): boolean {
  const composed = word.normalize()
  const [begins, ends] = [`^${joining}`, `${joining}$`].map((edge) => new RegExp(edge, 'u').test(composed))
  const before = begins ? `(?<!${joining})` : ''
  const after = ends ? `(?!${joining})` : ''
  return new RegExp(`${before}${escaped(composed)}${after}`, 'iu').test(text.normalize())
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`)
}
