import type { Measured, Summary } from './figures.ts'

const columns: readonly (readonly [Measured, string, (value: number) => string])[] = [
  ['secondsPerStep', 'seconds a step', (value) => `${value.toFixed(value < 0.1 ? 4 : 3)} s`],
  ['secondsToFirstStep', 'container start → first step', (value) => `${value.toFixed(1)} s`],
  ['peakBytes', 'peak memory', (value) => `${(value / 1e9).toFixed(2)} GB`],
]

/** In Markdown: a contender a row, each figure with how many times ours it is. */
export function table(names: readonly string[], summaries: readonly Summary[]): string {
  const rows = names.map((name, index) => [
    name,
    ...columns.map((column) => cell(column, summaries[index], index > 0)),
  ])
  const header = ['', ...columns.map(([, title]) => title)]
  return [header, header.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}

function cell(
  [figure, , text]: (typeof columns)[number],
  summary: Summary | undefined,
  compared: boolean,
): string {
  if (!summary) return '–'
  const { value, ratio } = summary[figure]
  return compared ? `${text(value)} (${ratio.toFixed(2)} ×)` : text(value)
}
