/**
 * `bellows/base:trixie`, which the local machine's and the trainers' images start from: Debian's own image where the
 * registry is reached, else one made by debootstrap (which checks Debian's signatures). This computer's certificate
 * authorities are in it either way, for networks that sign TLS again.
 */
import { existsSync, readFileSync } from 'node:fs'
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { getuid } from 'node:process'
import { installDebianPackages } from './apt.ts'
import { ask, run } from './command.ts'
import { firstThatWorks } from './fallbacks.ts'
import { hashInputs } from './inputs.ts'
import { withLock } from './lock.js'
import type { SetupFolder } from './place.ts'
import type { Work } from './tasks.ts'

const suite = 'trixie'
export const baseImage = `bellows/base:${suite}`

/** Tag of Debian without our certificates, wherever it came from. */
const plainImage = `bellows/debian:${suite}`

const inputsLabel = 'bellows.inputs'
const bundleInImage = '/usr/local/share/computer-ca-certificates.crt'

const bundles = [
  process.env.SSL_CERT_FILE,
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/cert.pem',
]

/** Makes the image where it is missing or was made from other inputs, and returns the hash of these. */
export async function makeBaseImage(place: SetupFolder, work: Work): Promise<string> {
  const bundle = bundles.find((file): file is string => file !== undefined && existsSync(file))
  const dockerfile = baseDockerfile(bundle !== undefined)
  const inputs = hashInputs([], [dockerfile, bundle ? readFileSync(bundle, 'utf8') : ''])
  if ((await labelOf(baseImage)) === inputs) return inputs
  await withLock(`image ${baseImage}`, async () => {
    if ((await labelOf(baseImage)) === inputs) return
    const context = await mkdtemp(join(place.cache, '.base-'))
    try {
      if ((await labelOf(plainImage)) === undefined) await getDebian(context, place, work)
      work.say('adding this computer’s certificate authorities')
      await writeFile(join(context, 'Dockerfile'), dockerfile)
      if (bundle) await copyFile(bundle, join(context, 'ca-certificates.crt'))
      const options = ['--label', `${inputsLabel}=${inputs}`, '--tag', baseImage]
      await run(['docker', 'build', ...options, context], { log: place.log('base-image') })
    } finally {
      await rm(context, { recursive: true, force: true })
    }
  })
  return inputs
}

export function baseDockerfile(withBundle: boolean): string {
  const certificates = ['SSL_CERT_FILE', 'PIP_CERT', 'REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE']
  const lines = [
    `FROM ${plainImage}`,
    ...(withBundle ? [`COPY ca-certificates.crt ${bundleInImage}`] : []),
    ...(withBundle ? [`ENV ${certificates.map((name) => `${name}=${bundleInImage}`).join(' ')}`] : []),
  ]
  return `${lines.join('\n')}\n`
}

async function getDebian(context: string, place: SetupFolder, { say }: Work): Promise<void> {
  const log = place.log('base-image')
  const official = `debian:${suite}-slim`
  const pull = async () => {
    await run(['docker', 'pull', '--quiet', official], { log })
    await run(['docker', 'tag', official, plainImage], { log })
  }
  await firstThatWorks(
    [
      { doing: `pulling ${official}`, hosts: ['https://registry-1.docker.io'], make: pull },
      {
        doing: 'making Debian with debootstrap',
        make: (folder) => bootstrapDebian(folder, place),
      },
    ],
    join(context, 'debian'),
    say,
  )
  await rm(join(context, 'debian'), { recursive: true, force: true })
}

async function bootstrapDebian(folder: string, place: SetupFolder): Promise<void> {
  if (getuid?.() !== 0) throw new Error('debootstrap wants root')
  const log = place.log('base-image')
  const path = `${process.env.PATH}:/usr/sbin:/sbin`
  if ((await ask(['debootstrap', '--version'])) === undefined) {
    await installDebianPackages(['debootstrap', 'debian-archive-keyring'], place)
  }
  await run(['debootstrap', '--variant=minbase', suite, folder], { log, env: { PATH: path } })
  await run(
    [
      'sh',
      '-c',
      'tar -C "$1" --exclude="./var/cache/apt/*" -c . | docker import - "$2"',
      'sh',
      folder,
      plainImage,
    ],
    { log },
  )
}

/** The hash that the image was made from: empty where it has none, nothing where there is no such image. */
async function labelOf(image: string): Promise<string | undefined> {
  return await ask([
    'docker',
    'image',
    'inspect',
    '--format',
    `{{index .Config.Labels "${inputsLabel}"}}`,
    image,
  ])
}
