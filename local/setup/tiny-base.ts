/** A family's tiny base model: every part that the real one has, with random weights, made by the trainer's own image. */
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { getgid, getuid } from 'node:process'
import type { Family } from '../../src/family.ts'
import { cached } from './cache.ts'
import { run } from './command.ts'
import type { SetupFolder } from './place.ts'
import type { Work } from './tasks.ts'

/** The model's folder. It belongs to the image: another trainer makes another model. */
export async function tinyBase(
  family: Family,
  image: string,
  place: SetupFolder,
  { say }: Work,
): Promise<string> {
  const name = join('bases', `${family.toLowerCase()}-${image.split(':').at(-1)}`)
  return await cached(place.cache, name, async (folder) => {
    say('making it')
    await run(['docker', ...tinyBaseCommand(family, image, folder)], { log: place.log('tiny-bases') })
    await chmod(folder, 0o755)
  })
}

export function tinyBaseCommand(family: Family, image: string, folder: string): readonly string[] {
  return baseCommand(image, folder, ['-m', 'bellows_trainer.tiny_base', family, '/base'])
}

/** A program for Python that fills `/base`, as the user that we are, so that the files are ours. */
export function baseCommand(
  image: string,
  folder: string,
  program: readonly string[],
  options: readonly string[] = [],
): readonly string[] {
  return [
    'run',
    ...['--rm', '--init', '--network', 'none', '--user', `${getuid?.() ?? 0}:${getgid?.() ?? 0}`],
    ...['--env', 'HOME=/tmp', '--volume', `${folder}:/base`, '--workdir', '/tmp', ...options],
    ...['--entrypoint', 'python3', image, ...program],
  ]
}
