/** Where notices go: one channel a webhook, in the form that its service reads. */
import { fetch } from '../fetch.ts'
import type { Secret } from '../secret.ts'
import { cut } from '../text.ts'
import type { Notification } from './alerts.ts'

export type Channel = {
  readonly name: string
  /** Rejects with a sentence that names the channel and no secret. */
  send(notice: Notification): Promise<void>
}

export type WebhookOptions = {
  /** Names the channel in logs and in the outbox; must not change between restarts. */
  readonly name: string
  /** The whole URL; services put their token in it. */
  readonly url: Secret
  /** Default 10 s, for each try. */
  readonly timeoutMs?: number
  /** Tries within one `send`, for answers that may pass (429, 5xx, no answer). Default 3. */
  readonly tries?: number
  /** Wait before the second try, doubled for each more. Default 500 ms; a `Retry-After` within 30 s wins. */
  readonly backoffMs?: number
}

/** `{key, kind, severity, title, text, at}` as JSON. */
export function jsonWebhook(options: WebhookOptions): Channel {
  return channel(options, jsonBody)
}

/** Slack's incoming webhooks, and what understands them (Mattermost, Discord's `/slack` URLs). */
export function slackWebhook(options: WebhookOptions): Channel {
  return channel(options, (notice) => ({
    text: `*${escapeSlack(headline(notice))}*\n${escapeSlack(notice.text)}`,
  }))
}

/** A Telegram bot: `url` is `https://api.telegram.org/bot<token>/sendMessage`. */
export function telegramWebhook(options: WebhookOptions & { readonly chatId: string }): Channel {
  return channel(options, (notice) => ({
    chat_id: options.chatId,
    text: cut(`${headline(notice)}\n${notice.text}`, 4096),
    disable_web_page_preview: true,
  }))
}

function jsonBody(notice: Notification): object {
  const { key, kind, severity, title, text, at } = notice
  return { key, kind, severity, title, text, at: at.toISOString() }
}

function headline(notice: Notification): string {
  return notice.kind === 'over' ? `Over: ${notice.title}` : `${notice.severity}: ${notice.title}`
}

function escapeSlack(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

function channel(options: WebhookOptions, body: (notice: Notification) => object): Channel {
  return { name: options.name, send: (notice) => post(options, body(notice)) }
}

async function post(options: WebhookOptions, body: object): Promise<void> {
  const tries = options.tries ?? 3
  for (let tried = 1; ; tried++) {
    const answer = await tryOnce(options, body)
    if (answer.delivered) return
    const problem = `${options.name} ${answer.problem}`
    if (!answer.worthRetrying) throw new Error(problem)
    if (tried >= tries) throw new Error(`${problem}, ${tried} times`)
    await pause(answer.retryAfterMs ?? (options.backoffMs ?? 500) * 2 ** (tried - 1))
  }
}

type Answer =
  | { readonly delivered: true }
  | {
      readonly delivered: false
      readonly problem: string
      readonly worthRetrying: boolean
      readonly retryAfterMs?: number | undefined
    }

/** Redirects are not followed: a message must not travel to a host that was not configured. */
async function tryOnce(options: WebhookOptions, body: object): Promise<Answer> {
  try {
    const response = await fetch(options.url.reveal(), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      redirect: 'manual',
      signal: AbortSignal.timeout(options.timeoutMs ?? 10_000),
    })
    await response.body?.cancel()
    if (response.ok) return { delivered: true }
    return {
      delivered: false,
      problem: `answered ${response.status}`,
      worthRetrying: response.status === 429 || response.status >= 500,
      retryAfterMs: retryAfter(response),
    }
  } catch (error) {
    // fetch's own messages may carry the URL, and so the token
    const timedOut = error instanceof Error && error.name === 'TimeoutError'
    return {
      delivered: false,
      problem: timedOut ? 'did not answer in time' : 'could not be reached',
      worthRetrying: true,
    }
  }
}

function retryAfter(response: Response): number | undefined {
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
  return seconds >= 0 && seconds <= 30 ? seconds * 1000 : undefined
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}
