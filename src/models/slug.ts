import { createHash } from 'node:crypto'

/**
 * Slugs to try for a model, best first: from its name, then with more and more of its id, so that the last
 * is free for certain. At most 64 characters of a–z, 0–9 and `-`; a name without any gives `lora`.
 */
export function slugs(name: string, modelId: string): readonly string[] {
  const stem = slugOf(name, 64)
  return [stem || 'lora', suffixed(stem, modelId.slice(0, 6)), suffixed(stem, modelId)]
}

/** The id of the model that a training makes: the same at each try. */
export function modelIdFor(trainingId: string): string {
  return createHash('sha256').update(`model of training ${trainingId}`).digest('hex').slice(0, 24)
}

function suffixed(stem: string, suffix: string): string {
  return `${slugOf(stem, 63 - suffix.length) || 'lora'}-${suffix}`
}

function slugOf(text: string, length: number): string {
  const plain = text.normalize('NFKD').toLowerCase().replace(/\p{M}/gu, '')
  return plain
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+/, '')
    .slice(0, length)
    .replace(/-+$/, '')
}
