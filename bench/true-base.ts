/** A base of true size with random weights: nobody has to download 35 GB to learn how long a step takes. */
import { createHash } from 'node:crypto'
import { chmod, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import type { Family } from '../src/recipes/plan.ts'
import { cached } from '../tools/setup/cache.ts'
import type { Settings } from './settings.ts'

const script = fileURLToPath(new URL('true_base.py', import.meta.url))

/** The base's folder in the cache: 7 GB for SDXL, 34 GB for FLUX. `image` is a trainer's. */
export async function trueBase({ family, gpu }: Settings, image: string, cache: string): Promise<string> {
  const version = createHash('sha256')
    .update(await readFile(script))
    .digest('hex')
    .slice(0, 12)
  return await cached(cache, join('bases', `true-${family.toLowerCase()}-${version}`), async (folder) => {
    await execa('docker', trueBaseCommand(family, gpu, image, folder), { stdin: 'ignore', stderr: 'inherit' })
    await chmod(folder, 0o755)
  })
}

function trueBaseCommand(family: Family, gpu: boolean, image: string, folder: string): readonly string[] {
  return [
    'run',
    ...['--rm', '--init', '--network', 'none', ...(gpu ? ['--gpus', 'all'] : [])],
    ...['--user', `${process.getuid?.()}:${process.getgid?.()}`, '--env', 'HOME=/tmp', '--workdir', '/tmp'],
    ...['--volume', `${folder}:/base`, '--volume', `${script}:/true_base.py:ro`],
    ...['--entrypoint', 'python3', image, '/true_base.py', family, '/base'],
  ]
}
