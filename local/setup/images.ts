/**
 * The images of `images/`, each tagged with a hash of all that goes into it: an image that is there under its
 * tag is the right one. The trainers are built one after another, because all but their last layers are the same.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Family } from '../../src/family.ts'
import { baseImage } from './base-image.ts'
import { ask, run } from './command.ts'
import { hashInputs } from './inputs.ts'
import { withLock } from './lock.js'
import type { SetupFolder } from './place.ts'
import type { Work } from './tasks.ts'

export type ImageRecipe = {
  readonly repository: string
  readonly dockerfile: string
  readonly context: string
  /** Folders whose files make the image another one. */
  readonly inputs: readonly string[]
  readonly buildArguments?: Readonly<Record<string, string>>
}

/** `folder` is the project's `images/`. A family that has no Dockerfile has no recipe. Machines with a GPU need `cuda`. */
export function trainerImage(
  folder: string,
  family: Family,
  device: 'cpu' | 'cuda' = 'cpu',
): ImageRecipe | undefined {
  const name = family.toLowerCase()
  const dockerfile = join(folder, name, 'Dockerfile')
  if (!existsSync(dockerfile)) return undefined
  return {
    repository: device === 'cpu' ? `bellows/trainer-${name}` : `bellows/trainer-${name}-cuda`,
    dockerfile,
    context: folder,
    inputs: [join(folder, 'common'), join(folder, name)],
    buildArguments: { DEVICE: device },
  }
}

/** The trainer of the fault tests, which keeps to the contract and trains nothing. */
export const tinyTrainerImage = (folder: string): ImageRecipe => ({
  ...ownTrainerImage(folder, 'tiny-trainer'),
  repository: 'bellows/trainer-tiny',
})

/** One that needs nothing but its own folder `name`. */
export function ownTrainerImage(folder: string, name: string): ImageRecipe {
  const own = join(folder, name)
  return {
    repository: `bellows/own-${name}`,
    dockerfile: join(own, 'Dockerfile'),
    context: folder,
    inputs: [own],
  }
}

export function machineImage(folder: string): ImageRecipe {
  const context = join(folder, 'machine')
  return {
    repository: 'bellows/machine',
    dockerfile: join(context, 'Dockerfile'),
    context,
    inputs: [context],
  }
}

/** Builds the image unless it is there, and returns its name with the tag. */
export async function buildImage(
  recipe: ImageRecipe,
  baseInputs: string,
  place: SetupFolder,
  { say }: Work,
): Promise<string> {
  const tag = `${recipe.repository}:${hashInputs(recipe.inputs, [baseInputs])}`
  if (await exists(tag)) return tag
  await withLock(`image ${tag}`, async () => {
    if (await exists(tag)) return
    say('building')
    await run(['docker', ...buildCommand(recipe, tag)], {
      log: place.log(recipe.repository.replace('/', '-')),
    })
    await removeOlder(recipe.repository, tag)
  })
  return tag
}

export function buildCommand(recipe: ImageRecipe, tag: string): readonly string[] {
  const values = Object.entries({ BASE: baseImage, ...recipe.buildArguments })
  const buildArguments = values.flatMap(([name, value]) => ['--build-arg', `${name}=${value}`])
  return [
    'build',
    '--network',
    'host',
    ...buildArguments,
    '--tag',
    tag,
    '--file',
    recipe.dockerfile,
    recipe.context,
  ]
}

const dayMs = 24 * 60 * 60_000

/**
 * Those that the set-up made more than a day ago: another checkout may be using younger ones. One that a container still
 * uses stays until the next time.
 */
async function removeOlder(repository: string, tag: string): Promise<void> {
  const tags = await ask(['docker', 'image', 'ls', '--format', '{{.Repository}}:{{.Tag}}', repository])
  const others = (tags ?? '').split('\n').filter((each) => /:[0-9a-f]{12}$/.test(each) && each !== tag)
  for (const other of others) {
    const created = await ask(['docker', 'image', 'inspect', '--format', '{{.Created}}', other])
    if (created && Date.now() - Date.parse(created) > dayMs) await ask(['docker', 'image', 'rm', other])
  }
}

async function exists(image: string): Promise<boolean> {
  return (await ask(['docker', 'image', 'inspect', '--format', '{{.Id}}', image])) !== undefined
}
