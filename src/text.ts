/** Text of strangers, made short enough to store, send and show. */

/**
 * At most `limit` UTF-16 units of a text, never cut inside a character: half an emoji is a lone surrogate,
 * which BSON, JSON parsers and terminals refuse or mangle. Lone surrogates that the text already holds
 * become U+FFFD.
 */
export function cut(text: string, limit: number): string {
  if (limit <= 0) return ''
  const before = text.charCodeAt(limit - 1)
  const after = text.charCodeAt(limit)
  const inside = before >= 0xd800 && before <= 0xdbff && after >= 0xdc00 && after <= 0xdfff
  return text.slice(0, inside ? limit - 1 : limit).toWellFormed()
}
