/** Text of strangers, made short and plain enough to store, send and show. */
import { stripVTControlCharacters } from 'node:util'

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' })

/** A character that is longer, of a heap of marks, is cut as if it were several. */
const longestCharacter = 64

/**
 * At most `limit` UTF-16 units of a text, never cut inside what people see as a character (a family of emoji, a letter with
 * its marks), and never inside a code point: half an emoji is a lone surrogate, which BSON, JSON parsers and terminals
 * refuse or mangle. Lone surrogates that the text already holds become U+FFFD.
 */
export function cut(text: string, limit: number): string {
  if (limit <= 0) return ''
  if (text.length <= limit) return text.toWellFormed()
  const from = Math.max(0, limit - 2 * longestCharacter)
  const around = text.slice(from, limit + longestCharacter)
  const at = from + (graphemes.segment(around).containing(limit - from)?.index ?? 0)
  if (limit - at < longestCharacter) return text.slice(0, at).toWellFormed()
  const before = text.charCodeAt(limit - 1)
  const after = text.charCodeAt(limit)
  const inside = before >= 0xd800 && before <= 0xdbff && after >= 0xdc00 && after <= 0xdfff
  return text.slice(0, inside ? limit - 1 : limit).toWellFormed()
}

/**
 * One line without terminal sequences, control characters, line breaks of any kind, halves of characters and marks that turn
 * the reading direction: for a log, a terminal or a sentence. Where they stood is a blank, so that words stay apart; none
 * is at the end.
 */
export function printable(text: string): string {
  return stripVTControlCharacters(text.toWellFormed()).replace(unprintable, ' ').trimEnd()
}

/** The same of each line. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n')
}

/** In quotes and at most 80 characters long, for a sentence. */
export function quoted(text: string | undefined): string {
  return text === undefined ? '(none)' : `"${cut(printable(cut(text, 200)).trim(), 80)}"`
}

/** JSON for a terminal: it says the same, but what isn't printable is escaped, of which `JSON.stringify` does the half. */
export function printableJson(json: string): string {
  return json.replace(unescaped, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

const marks = String.raw`\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff`
const unprintable = new RegExp(`[${marks}]+`, 'gu')
const unescaped = new RegExp(`(?!\n)[${marks}]`, 'gu')
