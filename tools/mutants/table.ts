/** What a run of the mutants came to, for a person. */
import { dirname } from 'node:path'
import type { Candidate } from './choose.ts'

export type Tried = Candidate & {
  /** `unreached`: no quick test runs this line. */
  readonly result: 'noticed' | 'survived' | 'unreached'
}

/** Of those that a test runs into. */
export function rate(tried: readonly Tried[]): number {
  const reached = tried.filter(({ result }) => result !== 'unreached')
  return reached.length === 0 ? 1 : count(reached, 'noticed') / reached.length
}

export function table(tried: readonly Tried[]): string {
  const rows = [...Map.groupBy(tried, ({ file }) => dirname(file)).entries(), ['all', tried] as const]
  return [
    '| folder | planted | noticed | survived | unreached | noticed of reached |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows.map(([folder, these]) => {
      const counts = (['noticed', 'survived', 'unreached'] as const).map((result) => count(these, result))
      return `| ${[folder, these.length, ...counts, percent(rate(these))].join(' | ')} |`
    }),
  ].join('\n')
}

/** `file:line  what  original → mutant`, on one line. */
export function described({ file, line, what, original, mutant }: Candidate): string {
  return `${file}:${line}  ${what}  ${short(original)} → ${short(mutant) || '(nothing)'}`
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`
}

function count(tried: readonly Tried[], wanted: Tried['result']): number {
  return tried.filter(({ result }) => result === wanted).length
}

function short(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ')
  return line.length > 70 ? `${line.slice(0, 69)}…` : line
}
