/**
 * Getting a trainer's image onto the machine, and what is to be known of it before it runs: its digest, since a
 * tag may be moved, and that it declares no VOLUME, since that would be a place to write to.
 */
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { repositoryOf } from '../registries/image-name.ts'
import { pullFailure } from '../registries/pull-refusal.ts'
import { dockerConfig, type LoginFor, type RegistryLogin, registryOf } from '../registries/registry.ts'
import { cut, printable } from '../text.ts'
import * as argv from './argv.ts'
import { tailOf } from './lines.ts'
import type { Ssh } from './ssh.ts'

export type Wanted = { readonly image: string; readonly loginFor: LoginFor }

/**
 * Pulls the image unless it is there, with the login that its registry wants. Docker goes on with the layers that it has,
 * so a repeat is cheap.
 */
export const pull = async (
  ssh: Ssh,
  { image, loginFor }: Wanted,
  onProgress: (message: string) => void,
  signal: AbortSignal,
): Promise<void> => {
  if (!(await inspect(ssh, image, signal))) {
    const login = await loginFor(registryOf(image))
    await fetch(ssh, { image, login }, onProgress, signal)
  }
  mustHaveNoVolume(image, await inspect(ssh, image, signal))
}

/** `sha256:…` of an image that is there, undefined for one that came from no registry. */
export const imageDigest = async (
  ssh: Ssh,
  image: string,
  signal: AbortSignal,
): Promise<string | undefined> => {
  const name = repositoryOf(image)
  const digests = (await inspect(ssh, image, signal))?.digests ?? []
  const own = digests.find((each) => repositoryOf(each).endsWith(name)) ?? digests[0]
  return own === undefined ? undefined : /@(sha256:[0-9a-f]{64})$/.exec(own)?.[1]
}

const imageSchema = z.object({
  digests: z.array(z.string()).nullish(),
  volumes: z.record(z.string(), z.unknown()).nullish(),
})
type Image = z.infer<typeof imageSchema>

const inspect = async (ssh: Ssh, image: string, signal: AbortSignal): Promise<Image | undefined> => {
  const found = await ssh.run(argv.inspectImage(image), { signal, limitMs: 60_000 })
  return found.exitCode === 0 ? imageSchema.parse(JSON.parse(found.stdout.toString())) : undefined
}

/** Docker makes each of them a writable place on the machine's disk, and has no word against it. */
const mustHaveNoVolume = (image: string, found: Image | undefined): void => {
  const volumes = Object.keys(found?.volumes ?? {}).filter((path) => path !== '/job' && path !== '/tmp')
  if (volumes.length === 0) return
  const named = cut(printable(volumes.join(', ')), 200)
  throw new Failure(
    'bad-request',
    `its trainer image ${image} declares a VOLUME (${named}), and trainers may write to /job and /tmp only`,
  )
}

const fetch = async (
  ssh: Ssh,
  { image, login }: { readonly image: string; readonly login: RegistryLogin | undefined },
  onProgress: (message: string) => void,
  signal: AbortSignal,
): Promise<void> => {
  const layers = new Map<string, boolean>()
  const tail = tailOf(40)
  const onLine = (line: string) => {
    if (line.trim()) tail.add(line)
    const [, layer, what = ''] = /^([0-9a-f]{12}): (.+)$/.exec(line) ?? []
    if (!layer) return
    layers.set(layer, /complete|already exists/i.test(what))
    const done = [...layers.values()].filter(Boolean).length
    onProgress(`${done} of ${layers.size} layers of ${image}`)
  }
  const exit = login
    ? await ssh.follow(argv.pullWithLogin(image), onLine, {
        input: `${dockerConfig(registryOf(image), login)}\n`,
        holdInput: true,
        signal,
      })
    : await ssh.follow(argv.pullImage(image), onLine, { signal })
  if (exit.exitCode !== 0) throw pullFailure(image, tail.lines, login)
}
