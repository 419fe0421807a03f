/**
 * Logins for AWS's registries: a token that the worker obtains under its own permissions, valid for 12 hours and for
 * all registries of one region, in any account.
 * https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html
 */
import { type ECRClient, GetAuthorizationTokenCommand } from '@aws-sdk/client-ecr'
import { Failure } from '../../failure.ts'
import type { LoginFor, RegistryLogin } from '../../registries/registry.ts'
import { isConnectionError, retry } from '../../retry.ts'
import { Secret } from '../../secret.ts'
import { awsRefusal, isTransientRefusal } from './errors.ts'

/** How long a pull may take after its login. */
const spareMs = 3_600_000

type Token = { readonly login: RegistryLogin; readonly expiresAt: number }

export function ecrLogins(
  clientIn: (region: string) => Pick<ECRClient, 'send' | 'destroy'>,
  now: () => number = Date.now,
): { readonly loginFor: LoginFor; close(): void } {
  const clients = new Map<string, Pick<ECRClient, 'send' | 'destroy'>>()
  const tokens = new Map<string, Token>()

  async function tokenIn(region: string, registry: string): Promise<Token> {
    const client = clients.get(region) ?? clientIn(region)
    clients.set(region, client)
    const ask = () => client.send(new GetAuthorizationTokenCommand({}))
    const { authorizationData: [data] = [] } = await retry(ask, isTransientRefusal).catch((error) => {
      throw refused(registry, error)
    })
    const [user, password] = Buffer.from(data?.authorizationToken ?? '', 'base64')
      .toString()
      .split(':')
    if (!user || !password)
      throw new Failure('registry-failed', `AWS gave no login for ${registry} that can be read`)
    const expiresAt = data?.expiresAt?.getTime() ?? now()
    return { login: { user, password: new Secret(password) }, expiresAt }
  }

  return {
    async loginFor(registry) {
      const region = regionOf(registry)
      if (region === undefined) return undefined
      const known = tokens.get(region)
      if (known && known.expiresAt - spareMs > now()) return known.login
      const token = await tokenIn(region, registry)
      tokens.set(region, token)
      return token.login
    },
    close() {
      for (const client of clients.values()) client.destroy()
    },
  }
}

const regionOf = (registry: string): string | undefined =>
  /^\d{12}\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$/.exec(registry)?.[1]

function refused(registry: string, error: unknown): Failure {
  const refusal = awsRefusal(error)
  const passes = refusal?.verdict === 'back-off' || isConnectionError(error)
  const why = refusal ? `${refusal.code}: ${refusal.message}` : String(error)
  return new Failure(
    passes ? 'registry-failed' : 'image-refused',
    `the worker got no login for ${registry} (ecr:GetAuthorizationToken): ${why}`,
    { cause: error },
  )
}
