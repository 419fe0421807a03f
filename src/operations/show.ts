/** `bellows show`: a training's run as JSON, and its timeline. */
import { printable, printableJson } from '../text.ts'
import type { Run } from '../trainings/runs.ts'
import type { TimelineEvent } from '../trainings/timeline.ts'

/** Lines for a terminal. */
export function shownRun(run: Run, events: readonly TimelineEvent[]): string {
  return [printableJson(JSON.stringify(run, null, 2)), ...events.map(shownEvent)].join('\n')
}

function shownEvent({ number, at, kind, message }: TimelineEvent): string {
  return printable(`${String(number).padStart(4)} ${at.toISOString()} ${kind.padEnd(10)} ${message}`)
}
