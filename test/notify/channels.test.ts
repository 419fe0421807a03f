import { expect, test } from 'vitest'
import { channelsOf } from '../../src/notify/channels.ts'
import { Secret } from '../../src/secret.ts'

const channels = (...entries: readonly string[]) => channelsOf(entries.map((entry) => new Secret(entry)))

test('each kind of webhook becomes a channel that is named by its kind and place', () => {
  const made = channels('slack:https://hooks.example/a', 'telegram:1:token@-100', 'json:https://in.example/b')
  expect(made.map(({ name }) => name)).toEqual(['slack-1', 'telegram-2', 'json-3'])
})

test.each(['hunter2', 'mail:hunter2', 'telegram:hunter2'])(
  '%s is refused by its place, and not shown',
  (entry) => {
    const make = () => channels('json:https://in.example/b', entry)
    expect(make).toThrow('BELLOWS_WEBHOOKS, entry 2, is not of the form slack:')
    expect(make).not.toThrow('hunter2')
  },
)
