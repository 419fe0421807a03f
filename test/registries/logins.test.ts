import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { firstOf, readRegistryLogins, registryLogins } from '../../src/registries/logins.ts'
import { Secret } from '../../src/secret.ts'
import { fewestSettings } from '../support/settings.ts'

const written = '{"ghcr.io": "me:ghp_secret", "index.docker.io": "you:a:b,c=d", "10.0.0.7:5000": "x:y"}'
const config = readConfig({ ...fewestSettings, BELLOWS_REGISTRY_LOGINS: written })
const loginFor = registryLogins(config.BELLOWS_REGISTRY_LOGINS)

test.each([
  ['ghcr.io', 'me', 'ghp_secret'],
  ['docker.io', 'you', 'a:b,c=d'],
  ['10.0.0.7:5000', 'x', 'y'],
])('%s is logged in to as it is set', async (registry, user, password) => {
  const login = await loginFor(registry)
  expect(login?.user).toBe(user)
  expect(login?.password.reveal()).toBe(password)
})

test('any other is asked without a login, as is every one where none is set', async () => {
  expect(await loginFor('quay.io')).toBeUndefined()
  expect(await registryLogins(readConfig(fewestSettings).BELLOWS_REGISTRY_LOGINS)('ghcr.io')).toBeUndefined()
})

test('a login that is set takes precedence over one that would be fetched', async () => {
  const other = async () => ({ user: 'other', password: new Secret('o') })
  expect((await firstOf(loginFor, other)('ghcr.io'))?.user).toBe('me')
  expect((await firstOf(loginFor, other)('quay.io'))?.user).toBe('other')
})

test('a password is seen in no print of the settings', () => {
  expect(inspect(config, { depth: 9 })).not.toMatch(/ghp_secret|a:b,c=d/)
  expect(JSON.stringify(config)).not.toMatch(/ghp_secret/)
})

test.each([
  ['ghcr.io=me:ghp_secret', 'is not of the form {"ghcr.io": "user:token"}'],
  ['["ghp_secret"]', 'is not of the form {"ghcr.io": "user:token"}'],
  [
    '{"https://ghcr.io": "me:ghp_secret"}',
    'names a registry that is no host, such as ghcr.io, without https:// or a path',
  ],
  ['{"ghcr.io": "ghp_secret"}', 'has no login of the form user:token for ghcr.io'],
  ['{"ghcr.io": ":ghp_secret"}', 'has no login of the form user:token for ghcr.io'],
])('%j is refused in a sentence that shows nothing of it', (text, sentence) => {
  expect(readRegistryLogins(text)).toBe(sentence)
  expect(() => readConfig({ ...fewestSettings, BELLOWS_REGISTRY_LOGINS: text })).toThrow(
    `BELLOWS_REGISTRY_LOGINS: ${sentence}`,
  )
  expect(sentence).not.toContain('ghp_secret')
})
