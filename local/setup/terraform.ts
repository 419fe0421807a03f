/** Terraform, which runs the real AWS provider: the user's own, or HashiCorp's release. */
import { chmod, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cached } from './cache.ts'
import { ask, run } from './command.ts'
import { download } from './download.ts'
import { firstThatWorks } from './fallbacks.ts'
import { forThisProcessor, type SetupFolder } from './place.ts'

const version = '1.11.4'
const site = 'https://releases.hashicorp.com'

const releases = {
  x64: { name: 'amd64', sha256: '1ce994251c00281d6845f0f268637ba50c0005657eb3cf096b92f753b42ef4dc' },
  arm64: { name: 'arm64', sha256: 'a43d1d0da9b9bab214a8305a39db0e40869572594ccf50c416a7756499143633' },
} as const

/** Its command. @throws Error with a sentence where it can't be had */
export async function terraform(place: SetupFolder): Promise<string> {
  if ((await ask(['terraform', 'version'])) !== undefined) return 'terraform'
  const doing = 'there is no terraform on the path; downloading it'
  const ways = [{ doing, hosts: [site], make: (folder: string) => downloadRelease(folder, place) }]
  const name = `terraform-${version}`
  const folder = await cached(place.cache, name, (folder) => firstThatWorks(ways, folder, () => {}))
  return join(folder, 'terraform')
}

async function downloadRelease(folder: string, place: SetupFolder): Promise<void> {
  const { name, sha256 } = forThisProcessor(releases)
  const file = join(folder, 'terraform.zip')
  await download(`${site}/terraform/${version}/terraform_${version}_linux_${name}.zip`, file, sha256)
  await run(['python3', '-m', 'zipfile', '-e', file, folder], { log: place.log('terraform') })
  await chmod(join(folder, 'terraform'), 0o755)
  await rm(file)
}
