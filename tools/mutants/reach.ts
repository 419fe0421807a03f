/** Which test files import a file, directly or through others. Types alone don't count. */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const imports =
  /^(?:import|export)\b(?! type)[^;'"]*?['"](\.[^'"]+\.(?:ts|js))['"]|\bimport\(['"](\.[^'"]+\.ts)['"]\)/gm

/** @param files Absolute */
export function reaching(tests: readonly string[], files: ReadonlySet<string>): readonly string[] {
  const known = new Map<string, readonly string[]>()
  return tests.filter((test) => [...reachedFrom(test, known)].some((file) => files.has(file)))
}

function reachedFrom(test: string, known: Map<string, readonly string[]>): ReadonlySet<string> {
  const seen = new Set([test])
  for (const file of seen) {
    const imported = known.get(file) ?? importsOf(file)
    known.set(file, imported)
    for (const each of imported) seen.add(each)
  }
  return seen
}

function importsOf(file: string): readonly string[] {
  return [...readFileSync(file, 'utf8').matchAll(imports)].map(([, one, other]) =>
    join(dirname(file), one ?? other ?? ''),
  )
}
