/** Workers without a database, for runs of the workflow with simulated parts. */
import type { WorkerPresence, Workers } from '../../src/notify/workers.ts'

type Entry = Omit<WorkerPresence, 'silentMs'>

export function memoryWorkers(now: () => Date = () => new Date()): Workers {
  const entries = new Map<string, Entry>()
  const silence = ({ seenAt }: Entry) => now().getTime() - seenAt.getTime()

  return {
    async heartbeat({ name, startedAt }) {
      const before = entries.get(name)
      entries.set(name, { name, startedAt, seenAt: now() })
      return before ? silence(before) : 0
    },
    async leave(name) {
      entries.delete(name)
    },
    async all() {
      return [...entries.values()]
        .map((entry) => ({ ...entry, silentMs: silence(entry) }))
        .toSorted((one, other) => (one.name < other.name ? -1 : 1))
    },
    async forget({ name, seenAt }) {
      if (entries.get(name)?.seenAt.getTime() === seenAt.getTime()) entries.delete(name)
    },
  }
}
