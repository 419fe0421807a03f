/** moto's server, which stands in for AWS before the real provider: the user's own, or from PyPI. */
import { join } from 'node:path'
import { cached } from './cache.ts'
import { ask, run } from './command.ts'
import type { SetupFolder } from './place.ts'

const version = '5.2.5'

export type Program = {
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

/** @throws Error with a sentence where it can't be had */
export async function moto(place: SetupFolder): Promise<Program> {
  if ((await ask(['moto_server', '--help'])) !== undefined) return { argv: ['moto_server'], env: {} }
  if ((await ask(['python3', '-m', 'pip', '--version'])) === undefined)
    throw new Error('there is no moto_server, and no Python with pip to get it with')
  const folder = await cached(place.cache, `moto-${version}`, async (folder) => {
    const packages = ['--target', join(folder, 'packages'), `moto[server,ec2]==${version}`]
    await run(['python3', '-m', 'pip', 'install', '--quiet', ...packages], { log: place.log('moto') })
  })
  return { argv: ['python3', '-m', 'moto.server'], env: { PYTHONPATH: join(folder, 'packages') } }
}
