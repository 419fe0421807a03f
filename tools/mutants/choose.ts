/** Which mutants are tried: those of the files, less what is accepted, or a sample that a seed decides. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Accepted, accepted } from './accepted.ts'
import { type Mutant, plant } from './plant.ts'
import type { Numbered } from './switches.ts'

export type Candidate = Numbered & {
  /** From the repository's root. */
  readonly file: string
}

/** Numbered from 1 on, in the order of the files. */
export function candidates(root: string, files: readonly string[]): readonly Candidate[] {
  return files
    .flatMap((file) =>
      plant(file, readFileSync(join(root, file), 'utf8')).map((mutant) => ({ ...mutant, file })),
    )
    .map((mutant, index) => ({ ...mutant, id: index + 1 }))
}

/** The same seed chooses the same faults for as long as their lines stay as they are, whatever is written around them. */
export function sampled<Each extends Mutant & { readonly file: string }>(
  all: readonly Each[],
  count: number,
  seed: string,
): readonly Each[] {
  const seen = new Map<string, number>()
  const lot = ({ file, what, original, mutant }: Each) => {
    const key = [seed, file, what, original, mutant].join('\n')
    const times = (seen.get(key) ?? 0) + 1
    seen.set(key, times)
    return createHash('sha256').update(`${key}\n${times}`).digest('hex')
  }
  return all
    .map((each) => ({ each, lot: lot(each) }))
    .sort((one, other) => (one.lot < other.lot ? -1 : 1))
    .slice(0, count)
    .map(({ each }) => each)
}

export function reasonFor(mutant: Mutant & { readonly file: string }): string | undefined {
  return accepted.find((entry) => matches(entry, mutant))?.reason
}

/** Entries for one of the files that no mutant of it answers to any more. */
export function outdated(files: readonly string[], all: readonly Candidate[]): readonly Accepted[] {
  return accepted.filter(
    (entry) => files.includes(entry.file) && !all.some((mutant) => matches(entry, mutant)),
  )
}

function matches(entry: Accepted, { file, original, mutant }: Mutant & { readonly file: string }): boolean {
  return entry.file === file && entry.original === original && entry.mutant === mutant
}
