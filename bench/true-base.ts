/** A base of true size with random weights: measuring a step takes no download of 35 GB. */
import { chmod, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { cached } from '../local/setup/cache.ts'
import { hashInputs } from '../local/setup/inputs.ts'
import { baseCommand } from '../local/setup/tiny-base.ts'
import type { Settings } from './settings.ts'

const script = fileURLToPath(new URL('true_base.py', import.meta.url))

/** The base's folder in the cache: 7 GB for SDXL, 34 GB for FLUX. `image` is a trainer's. */
export async function trueBase({ family, gpu }: Settings, image: string, cache: string): Promise<string> {
  const version = hashInputs([], [await readFile(script, 'utf8')])
  const options = ['--volume', `${script}:/true_base.py:ro`, ...(gpu ? ['--gpus', 'all'] : [])]
  return await cached(cache, join('bases', `true-${family.toLowerCase()}-${version}`), async (folder) => {
    const command = baseCommand(image, folder, ['/true_base.py', family, '/base'], options)
    await execa('docker', command, { stdin: 'ignore', stderr: 'inherit' })
    await chmod(folder, 0o755)
  })
}
