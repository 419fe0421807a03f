/**
 * Alerts: what an operator must hear of. An alert is raised under a key (`leak:<machine>`), once; while
 * it stands, raising it again says nothing. Clearing says once that it is over. What has happened, and
 * can't be undone, is reported: once for its key, and it never stands. All are kept in the
 * database before anything is sent, so that neither a restart nor a dead webhook loses a message, and
 * no call ever fails or slows a job because of a webhook: messages leave with `sendAlerts`.
 */
export type Severity = 'info' | 'warning' | 'critical'

export type Alert = { readonly title: string; readonly text: string; readonly severity: Severity }

export interface Alerts {
  raise(key: string, alert: Alert): Promise<void>
  /** No such alert is standing: nothing happens. */
  clear(key: string, text: string): Promise<void>
  /** Whatever was said under this key before: nothing happens. */
  report(key: string, alert: Alert): Promise<void>
}

/** A message to send: an alert was raised or is over, or something has happened. */
export type Notification = Alert & {
  readonly key: string
  /** Counts the messages of this key, from 1. */
  readonly number: number
  readonly kind: 'raised' | 'over' | 'happened'
  readonly at: Date
  /** Channels that have it already. */
  readonly sentTo: readonly string[]
  /** Rounds that failed so far. */
  readonly failures: number
}

export type StandingAlert = Alert & { readonly key: string; readonly raisedAt: Date }

/**
 * Alerts with their outbox. A notice is taken for a while by one sender; a key's notices leave in the
 * order in which they came.
 */
export interface AlertBook extends Alerts {
  /** Takes the notice that has waited longest, for `holdMs`; undefined if none is due. */
  take(holdMs: number): Promise<Notification | undefined>
  /** All channels have it, or it is given up. */
  finish(notice: Notification): Promise<void>
  /** These channels have it; the others are tried again after `retryMs`. */
  postpone(notice: Notification, sentTo: readonly string[], retryMs: number): Promise<void>
  standing(): Promise<readonly StandingAlert[]>
}
