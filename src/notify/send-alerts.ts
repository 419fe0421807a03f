/**
 * Empties the outbox: every notice to every channel, each once. Called from the worker's tick; safe to
 * call from several workers. A channel that fails is tried again later, and the others are not told
 * twice. (A sender that dies between a webhook's answer and the note of it says the same thing twice:
 * better than never.)
 */
import type { AlertBook, Notification } from './alerts.ts'
import type { Channel } from './webhook.ts'

export type SendAlertsOptions = {
  /** How long one sender keeps a notice to itself. Default 2 minutes. */
  readonly holdMs?: number
  /** Wait after the first failed round, doubled for each more, at most an hour. Default 10 s. */
  readonly retryMs?: number
  /** After so many failed rounds a notice is given up. Default 100: about four days. */
  readonly giveUpAfter?: number
}

export type SendReport = {
  readonly sent: number
  /** One sentence for each channel that failed, without secrets, for the log. */
  readonly problems: readonly string[]
}

export async function sendAlerts(
  book: AlertBook,
  channels: readonly Channel[],
  options: SendAlertsOptions = {},
): Promise<SendReport> {
  const problems: string[] = []
  let sent = 0
  for (;;) {
    const notice = await book.take(options.holdMs ?? 120_000)
    if (!notice) return { sent, problems }
    const round = await notify(channels, notice)
    sent += round.sent
    problems.push(...round.problems)
    const failures = notice.failures + 1
    if (round.problems.length === 0 || failures >= (options.giveUpAfter ?? 100)) await book.finish(notice)
    else
      await book.postpone(
        notice,
        round.sentTo,
        Math.min(3_600_000, (options.retryMs ?? 10_000) * 2 ** (failures - 1)),
      )
  }
}

/** Tells all channels at once, but for those that know. Never rejects. */
export async function notify(
  channels: readonly Channel[],
  notice: Notification,
): Promise<{
  readonly sent: number
  readonly sentTo: readonly string[]
  readonly problems: readonly string[]
}> {
  const waiting = channels.filter(({ name }) => !notice.sentTo.includes(name))
  const results = await Promise.allSettled(waiting.map((channel) => channel.send(notice)))
  const reached = waiting.filter((_, index) => results[index]?.status === 'fulfilled').map(({ name }) => name)
  const problems = results.flatMap((result) =>
    result.status === 'rejected' ? [(result.reason as Error).message] : [],
  )
  return { sent: reached.length, sentTo: [...notice.sentTo, ...reached], problems }
}
