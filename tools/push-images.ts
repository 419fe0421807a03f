/**
 * `bellows images push`: the trainers' images, built as `npm run test:cuda` tests them, in a registry that machines can pull
 * from. What comes out are settings that name each image by its digest: a tag may be moved, a digest is the image.
 */
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { makeBaseImage } from '../local/setup/base-image.ts'
import { cacheFolder } from '../local/setup/cache.ts'
import { ask } from '../local/setup/command.ts'
import { buildImage, type ImageRecipe, ownTrainerImage, trainerImage } from '../local/setup/images.ts'
import { createSetupFolder } from '../local/setup/place.ts'
import type { Family } from '../src/family.ts'

const imagesFolder = fileURLToPath(new URL('../images', import.meta.url))

export type PushOptions = {
  /** Such as `registry.example.com/bellows`; the images are `trainer-sdxl` and so on below it. */
  readonly registry: string
  readonly families: readonly Family[]
  /** Machines with a GPU need `cuda`. */
  readonly device: 'cpu' | 'cuda'
  /** A folder of `images/` with a Dockerfile, for all of these families. Default: each family's own. */
  readonly trainer?: string | undefined
  readonly say: (line: string) => void
}

/** @returns `BELLOWS_IMAGE_…` → `<repository>@sha256:…`; @throws Error with a sentence for the operator */
export async function pushImages(options: PushOptions): Promise<Readonly<Record<string, string>>> {
  const { registry, families, say } = options
  const recipes = families.map((family) => [family, recipeOf(family, options)] as const)
  requireRegistry(registry)
  if ((await ask(['docker', 'version', '--format', '{{.Server.Version}}'])) === undefined)
    throw new Error(
      'Docker does not answer this user: install it, start it, or add the user to the group docker.',
    )
  const place = createSetupFolder(cacheFolder())
  await mkdir(join(place.cache, 'logs'), { recursive: true })
  const work = { say, heavy: <T>(run: () => Promise<T>) => run() }
  const settings: Record<string, string> = {}
  try {
    const baseInputs = await makeBaseImage(place, work)
    for (const [family, recipe] of recipes) {
      const local = await buildImage(recipe, baseInputs, place, {
        ...work,
        say: () => say(`${family}: building; its log is ${place.log(recipe.repository.replace('/', '-'))}`),
      })
      const repository = `${registry}/trainer-${family.toLowerCase()}`
      say(`${family}: pushing to ${repository}`)
      settings[`BELLOWS_IMAGE_${family}`] = await pushImage(local, repository)
    }
  } catch (error) {
    throw new Error(whatToDo((error as Error).message, registry), { cause: error })
  }
  return settings
}

function recipeOf(family: Family, { device, trainer }: PushOptions): ImageRecipe {
  if (trainer === undefined) {
    const recipe = trainerImage(imagesFolder, family, device)
    if (recipe) return recipe
    throw new Error(`The ${family} trainer has no Dockerfile.`)
  }
  if (!/^[a-z0-9-]+$/.test(trainer) || !existsSync(join(imagesFolder, trainer, 'Dockerfile')))
    throw new Error(`images/${trainer}/Dockerfile does not exist.`)
  return ownTrainerImage(imagesFolder, trainer)
}

/** https://github.com/distribution/reference/blob/main/reference.go */
function requireRegistry(registry: string): void {
  const part = '[a-z0-9]+(?:[._-]+[a-z0-9]+)*'
  if (new RegExp(`^${part}(:\\d+)?(/${part})*$`).test(registry)) return
  throw new Error(
    `"${registry}" is no registry such as registry.example.com/bellows: a host and perhaps a path, in lower case, without https:// and a tag.`,
  )
}

/** Returns its name by digest. */
async function pushImage(local: string, repository: string): Promise<string> {
  const tag = local.slice(local.lastIndexOf(':') + 1)
  const name = `${repository}:${tag}`
  await execa('docker', ['tag', local, name], { stdin: 'ignore' })
  const { stdout } = await execa('docker', ['push', name], { stdin: 'ignore' })
  const [, digest] = /digest: (sha256:[0-9a-f]{64})/.exec(stdout) ?? []
  if (!digest) throw new Error(`Docker pushed ${name}, and did not say its digest:\n${stdout}`)
  return `${repository}@${digest}`
}

/** Docker's words, with what an operator can do where that is known. */
export function whatToDo(words: string, registry: string): string {
  const host = registry.split('/')[0] ?? registry
  const region = /\.dkr\.ecr\.([a-z0-9-]+)\./.exec(host)?.[1]
  const last = words.trim().split('\n').slice(-3).join('\n')
  const advice = (sentence: string) => `${sentence}\n${last}`
  if (/no space left on device/i.test(words))
    return advice(
      'There is no room for the images: three trainers for CUDA take 20 GB. `docker system df` shows what Docker holds, `docker system prune` removes what nothing uses.',
    )
  if (/name unknown|repository .*does not exist|NAME_UNKNOWN/i.test(words))
    return advice(
      region
        ? `${host} makes no repository by itself: aws ecr create-repository --region ${region} --repository-name ${registry.slice(host.length + 1)}/trainer-sdxl (and so for each image)`
        : `${host} has no such repository: make it there first.`,
    )
  if (/no basic auth|unauthorized|authentication required|denied|401|403/i.test(words)) {
    const login = region
      ? `aws ecr get-login-password --region ${region} | docker login --username AWS --password-stdin ${host}`
      : `docker login ${host}`
    return advice(`${host} takes nothing from this user. Log in as a user who may push there: ${login}`)
  }
  if (
    /no such host|connection refused|i\/o timeout|server gave HTTP response|x509|network is unreachable/i.test(
      words,
    )
  )
    return advice(`${host} can't be reached from this computer's Docker.`)
  return words
}
