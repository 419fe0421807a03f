/** `trainingEvents` without a database, for runs of the workflow with simulated parts. */
import type { Timeline, TimelineEvent } from '../../src/trainings/timeline.ts'

export function memoryTimeline(): Timeline {
  const all = new Map<string, TimelineEvent[]>()
  return {
    async append(event) {
      const events = all.get(event.trainingId) ?? []
      if (events.some(({ number }) => number === event.number)) return
      const inOrder = [...events, structuredClone(event)].sort((a, b) => a.number - b.number)
      all.set(event.trainingId, inOrder)
    },
    async read(trainingId, afterNumber = 0) {
      return structuredClone(all.get(trainingId) ?? []).filter(({ number }) => number > afterNumber)
    },
  }
}
