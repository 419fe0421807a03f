import type { Measured, Summary } from './figures.ts'

type Column = readonly [figure: Measured, title: string, text: (value: number) => string]

const step = (seconds: number) => `${seconds.toFixed(seconds < 0.1 ? 4 : 3)} s`
const start = (seconds: number) => `${seconds.toFixed(1)} s`

const columns: readonly Column[] = [
  ['secondsPerStep', 'seconds a step', step],
  ['secondsToFirstStep', 'container start → first step', start],
  ['peakBytes', 'peak memory', (bytes) => `${(bytes / 1e9).toFixed(2)} GB`],
]

const withoutGpu: readonly Column[] = [
  ['processorPerStep', 'processor time a step', step],
  ['processorToFirstStep', 'processor time to the first step', start],
]

/** In Markdown: a contender a row, each figure with how many times ours it is. */
export function table(names: readonly string[], summaries: readonly Summary[], gpu: boolean): string {
  const shown = gpu ? columns : [...columns, ...withoutGpu]
  const rows = names.map((name, index) => [
    name,
    ...shown.map((column) => cell(column, summaries[index], index > 0)),
  ])
  const header = ['', ...shown.map(([, title]) => title)]
  return [header, header.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}

function cell([figure, , text]: Column, summary: Summary | undefined, compared: boolean): string {
  if (!summary) return '–'
  const { value, ratio } = summary[figure]
  return compared ? `${text(value)} (${ratio.toFixed(2)} ×)` : text(value)
}
