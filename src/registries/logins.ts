/** Logins for registries of trainer images that an operator has set. */
import { z } from 'zod'
import { Secret } from '../secret.ts'
import { type LoginFor, type RegistryLogin, registryName } from './registry.ts'

export type RegistryLogins = ReadonlyMap<string, RegistryLogin>

const schema = z.record(z.string(), z.string())

/** Of `{"ghcr.io": "user:token"}`; a sentence that shows none of it where it is something else. */
export function readRegistryLogins(text: string): RegistryLogins | string {
  const parsed = schema.safeParse(jsonOf(text))
  if (!parsed.success) return 'is not of the form {"ghcr.io": "user:token"}'
  const logins = new Map<string, RegistryLogin>()
  for (const [registry, login] of Object.entries(parsed.data)) {
    if (!/^[a-z0-9.-]+(:\d+)?$/.test(registry))
      return 'names a registry that is no host, such as ghcr.io, without https:// or a path'
    const [, user, password] = /^([^:\s]+):(\S+)$/.exec(login) ?? []
    if (!user || !password) return `has no login of the form user:token for ${registry}`
    logins.set(registryName(registry), { user, password: new Secret(password) })
  }
  return logins
}

export const registryLogins =
  (logins: RegistryLogins = new Map()): LoginFor =>
  async (registry) =>
    logins.get(registry)

/** The first that has a login for a registry gives it. */
export const firstOf =
  (...all: readonly LoginFor[]): LoginFor =>
  async (registry) => {
    for (const loginFor of all) {
      const login = await loginFor(registry)
      if (login) return login
    }
    return undefined
  }

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
