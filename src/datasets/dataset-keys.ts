/**
 * Which objects of the datasets bucket belong to a dataset: those below a prefix that names it or its owner. Without
 * that, anyone who can write a document could train on any file in the bucket by naming its key. A key is
 * compared as text, letter for letter, and one that could be read as another key belongs to no dataset.
 */
import type { Dataset } from './datasets.ts'

/** Turns the check off: for a bucket that holds nothing private. */
export const anyKey = '*'

export const defaultKeyPrefixes = [
  '{datasetId}/',
  'datasets/{datasetId}/',
  '{ownerAccountId}/',
  'datasets/{ownerAccountId}/',
  'users/{ownerAccountId}/',
] as const

const placeholder = /\{(?:datasetId|ownerAccountId)\}/

/** What is wrong with a pattern, as the end of a sentence; undefined where it is a good one. */
export function wrongKeyPrefix(pattern: string): string | undefined {
  if (pattern === anyKey) return undefined
  if (!placeholder.test(pattern)) return 'has neither {datasetId} nor {ownerAccountId}'
  const plain = pattern.replaceAll(new RegExp(placeholder, 'g'), 'x')
  if (/[{}*]/.test(plain)) return 'has a placeholder other than {datasetId} and {ownerAccountId}'
  if (!isPlain(plain.replace(/\/$/, ''))) return 'begins with /, or has //, . or .. in it'
  return plain.endsWith('/') ? undefined : 'does not end with /'
}

/** The owner is the dataset's, not the job's: a shared dataset is read from where its owner put it. */
export function belongsTo(
  key: string,
  { id, ownerAccountId }: Pick<Dataset, 'id' | 'ownerAccountId'>,
  patterns: readonly string[],
): boolean {
  if (patterns.includes(anyKey)) return true
  if (!isPlain(key)) return false
  return patterns.some((pattern) => {
    const names = { '{datasetId}': id, '{ownerAccountId}': ownerAccountId }
    const needed = Object.entries(names).filter(([name]) => pattern.includes(name))
    if (needed.length === 0 || !needed.every(([, value]) => /^[\w-]+$/.test(value))) return false
    const prefix = needed.reduce((text, [name, value]) => text.replaceAll(name, value), pattern)
    return key.startsWith(prefix) && key.length > prefix.length
  })
}

/** No empty segment, none that climbs, and none that would after another round of decoding. */
function isPlain(key: string): boolean {
  return !/%2e|%2f|%5c|%25/i.test(key) && key.split(/[/\\]/).every((segment) => !/^(\.{1,2})?$/.test(segment))
}
