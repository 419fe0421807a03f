import { Secret } from '../secret.ts'
import { type Channel, jsonWebhook, slackWebhook, telegramWebhook } from './webhook.ts'

/** `slack:https://…`, `json:https://…`, `telegram:<bot token>@<chat id>`; throws on anything else. */
export function channelsOf(entries: readonly Secret[]): readonly Channel[] {
  return entries.map((entry, index) => {
    const [kind, ...rest] = entry.reveal().split(':')
    const target = rest.join(':')
    const name = `${kind}-${index + 1}`
    if (kind === 'slack') return slackWebhook({ name, url: new Secret(target) })
    if (kind === 'json') return jsonWebhook({ name, url: new Secret(target) })
    const [token, chatId] = target.split('@')
    if (kind === 'telegram' && token && chatId) {
      return telegramWebhook({
        name,
        url: new Secret(`https://api.telegram.org/bot${token}/sendMessage`),
        chatId,
      })
    }
    throw new Error(
      `BELLOWS_WEBHOOKS, entry ${index + 1}, is not of the form slack:https://…, json:https://… or telegram:<token>@<chat>`,
    )
  })
}
