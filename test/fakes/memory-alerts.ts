/** Alerts without a database, for runs of the workflow with simulated parts. */
import type { Alert, AlertBook, Notification, StandingAlert } from '../../src/notify/alerts.ts'

export type MemoryAlerts = AlertBook & {
  /** Everything that was ever said, in order. */
  readonly said: readonly Notification[]
}

type Waiting = { notice: Notification; notBefore: number }

export function memoryAlerts(now: () => Date = () => new Date()): MemoryAlerts {
  const standing = new Map<string, StandingAlert>()
  const said: Notification[] = []
  const outbox: Waiting[] = []

  function say(key: string, kind: Notification['kind'], { title, text, severity }: Alert): void {
    const number = said.filter((notice) => notice.key === key).length + 1
    const notice = { key, number, kind, title, text, severity, at: now(), sentTo: [], failures: 0 }
    said.push(notice)
    outbox.push({ notice, notBefore: 0 })
  }

  function find(notice: Notification): number {
    return outbox.findIndex(({ notice: { key, number } }) => key === notice.key && number === notice.number)
  }

  return {
    said,
    async raise(key, alert) {
      if (standing.has(key)) return
      standing.set(key, { ...alert, key, raisedAt: now() })
      say(key, 'raised', alert)
    },
    async clear(key, text) {
      const alert = standing.get(key)
      if (!alert) return
      standing.delete(key)
      say(key, 'over', { ...alert, text })
    },
    async report(key, alert) {
      if (!said.some((notice) => notice.key === key)) say(key, 'happened', alert)
    },
    async take(holdMs) {
      const waiting = outbox.find(
        (each) =>
          each.notBefore <= now().getTime() &&
          outbox.find(({ notice }) => notice.key === each.notice.key) === each,
      )
      if (!waiting) return undefined
      waiting.notBefore = now().getTime() + holdMs
      return waiting.notice
    },
    async finish(notice) {
      const index = find(notice)
      if (index >= 0) outbox.splice(index, 1)
    },
    async postpone(notice, sentTo, retryMs) {
      const waiting = outbox[find(notice)]
      if (!waiting) return
      waiting.notice = { ...waiting.notice, sentTo, failures: waiting.notice.failures + 1 }
      waiting.notBefore = now().getTime() + retryMs
    },
    standing: async () => [...standing.values()],
  }
}
