/** `trainingEvents` without a database, for runs of the workflow with simulated parts. */
import type { Timeline, TimelineEvent } from './timeline.ts'

export function memoryTimeline(now: () => Date = () => new Date()): Timeline {
  const all = new Map<string, TimelineEvent[]>()
  return {
    async append(newEvent) {
      const events = all.get(newEvent.trainingId) ?? []
      const event = { ...structuredClone(newEvent), number: events.length + 1, at: now() }
      all.set(newEvent.trainingId, [...events, event])
      return structuredClone(event)
    },
    async read(trainingId, afterNumber = 0) {
      return structuredClone(all.get(trainingId) ?? []).slice(afterNumber)
    },
  }
}
