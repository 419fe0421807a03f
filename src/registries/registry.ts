/** Registries of images, and how a machine is let in for one pull. */
import type { Secret } from '../secret.ts'

export type RegistryLogin = { readonly user: string; readonly password: Secret }

/**
 * The login for the registry of that name (`ghcr.io`, `docker.io`); undefined where it is asked without one. Throws a
 * Failure where one should be had and can't.
 */
export type LoginFor = (registry: string) => Promise<RegistryLogin | undefined>

const dockerHub = 'docker.io'

const dockerHubNames = [dockerHub, 'index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com']

/** `index.docker.io` and its other names are `docker.io`. */
export const registryName = (host: string): string => (dockerHubNames.includes(host) ? dockerHub : host)

/**
 * The registry that an image comes from, as Docker reads its name: what is before the first slash, if it looks like a
 * host; Docker Hub otherwise. https://pkg.go.dev/github.com/distribution/reference
 */
export const registryOf = (image: string): string => registryName(hostIn(image) ?? dockerHub)

/** As `ghcr.io/lab/trainer` and `docker.io/lab/trainer` do, and `lab/trainer` doesn't. */
export const namesRegistry = (image: string): boolean => hostIn(image) !== undefined

function hostIn(image: string): string | undefined {
  const [first = '', ...rest] = image.split('/')
  return rest.length > 0 && (/[.:]/.test(first) || first === 'localhost') ? first : undefined
}

/**
 * The login as Docker and Podman keep it in a `config.json`; Docker has a name of its own for its hub.
 * https://docs.docker.com/reference/cli/docker/login/
 */
export function dockerConfig(registry: string, { user, password }: RegistryLogin): string {
  const auth = Buffer.from(`${user}:${password.reveal()}`).toString('base64')
  const names = registry === dockerHub ? [dockerHub, 'https://index.docker.io/v1/'] : [registry]
  return JSON.stringify({ auths: Object.fromEntries(names.map((name) => [name, { auth }])) })
}
