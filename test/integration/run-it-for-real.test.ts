/**
 * "Run it for real" of the README, command by command as it stands there, in a checkout of its own, against the emulator for
 * AWS and Cloudflare. What can't be run here is listed with the reason, and what is put in the place of a name, too.
 */
import { cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { S3Client } from '@aws-sdk/client-s3'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { removeNetwork } from '../../local/emulator/machines/network.ts'
import { removeMachines } from '../../local/emulator/machines/remove.ts'
import { type ObjectStore, startObjectStore } from '../../local/emulator/object-store.ts'
import { type LocalProvider, startLocalProvider } from '../../local/emulator/provider/provider.ts'
import { putSettings } from '../../src/operations/settings-file.ts'
import { testDatabase } from '../support/database.ts'
import { devEnvironment } from '../support/dev-environment.ts'
import { startRegistry } from '../support/registry.ts'

const root = join(import.meta.dirname, '../..')
const deployment = `bellows-test-readme-${process.pid}`
const database = testDatabase()

const notRun: Readonly<Record<string, string>> = {
  'npm ci': 'the packages are those of the checkout that is tested',
  'aws iam create-service-linked-role --aws-service-name spot.amazonaws.com':
    'it changes an account, and the emulator has no spot role to make',
}

let folder: string
let store: ObjectStore
let provider: LocalProvider
let registry: Awaited<ReturnType<typeof startRegistry>>

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bellows-test-'))
  const checkout = join(folder, 'checkout')
  for (const name of ['src', 'local', 'infra', 'tools', 'images', 'package.json', 'package-lock.json'])
    await cp(join(root, name), join(checkout, name), { recursive: true })
  for (const name of ['.npmrc', '.env.example', 'Pulumi.yaml'])
    await cp(join(root, name), join(checkout, name))
  await symlink(join(root, 'node_modules'), join(checkout, 'node_modules'))
  await mkdir(join(folder, 'state'))
  store = await startObjectStore(devEnvironment.versitygw, join(folder, 'objects'))
  const credentials = {
    accessKeyId: store.accessKeyId,
    secretAccessKey: store.secretAccessKey.reveal(),
  }
  provider = await startLocalProvider({
    deployment,
    stateDirectory: join(folder, 'provider'),
    s3: new S3Client({ endpoint: store.endpoint, region: store.region, forcePathStyle: true, credentials }),
    machineImage: devEnvironment.images.machine,
  })
  registry = await startRegistry()
})

afterAll(async () => {
  await removeMachines(deployment)
  await provider.stop()
  await store.stop()
  await registry[Symbol.asyncDispose]()
  await removeNetwork(deployment)
  const names = ['image', 'ls', '--format', '{{.Repository}}:{{.Tag}}', '--filter']
  const { stdout } = await execa('docker', [...names, `reference=${registry.host}/*/*`])
  for (const name of stdout.split('\n').filter(Boolean)) await execa('docker', ['image', 'rm', name])
  await rm(folder, { recursive: true, force: true })
})

async function block(): Promise<string> {
  const [, text = ''] = (await readFile(join(root, 'README.md'), 'utf8')).split(/<!-- \/?commands -->/)
  return text.split(/```(?:sh)?\n/)[1] ?? ''
}

/** What the README's reader has, in the place of what it calls by an example's name. */
const replaced = (command: string): string =>
  command
    .replace('bellows:cloudflareAccountId <32 hex digits>', `bellows:cloudflareAccountId ${'0'.repeat(32)}`)
    .replace('bellows:cloudflareZoneId <32 hex digits>', `bellows:cloudflareZoneId ${'1'.repeat(32)}`)
    // The tiny trainer in place of 6 GB for each family.
    .replace('push registry.example.com/bellows', `push ${registry.host}/bellows --trainer tiny-trainer`)
    .replace('docker login registry.example.com', `docker login -u x -p x ${registry.host}`)
    // No hub is reached from here: a tiny base in a folder.
    .replace('stabilityai/stable-diffusion-xl-base-1.0', devEnvironment.bases.SDXL ?? '')
    .replace('--variant fp16', '--licence none')

/** Where the emulator differs from the clouds: addresses, and that it asks no questions. */
const addresses = () => ({
  PULUMI_SKIP_CONFIRMATIONS: 'true',
  PULUMI_SKIP_UPDATE_CHECK: 'true',
  PULUMI_DEBUG_PROVIDERS: `aws:${provider.port},cloudflare:${provider.port}`,
  R2_ENDPOINT: store.endpoint,
  AWS_EC2_ENDPOINT: provider.ec2Url,
  AWS_ACCESS_KEY_ID: 'local',
  AWS_SECRET_ACCESS_KEY: 'local',
  MONGODB_DATABASE: database.db.databaseName,
  BELLOWS_PORT: '0',
})

/** The operator who sets up the base is logged in somewhere; its passphrase is not the worker's. */
const operator = () => ({
  PULUMI_BACKEND_URL: `file://${join(folder, 'state')}`,
  PULUMI_CONFIG_PASSPHRASE: 'the operator’s own',
})

const byHand = () => ({
  MONGODB_URL: database.url,
  BELLOWS_SECRET: '0f6e1c9a47d2b8350f6e1c9a47d2b835',
  R2_ACCESS_KEY_ID: store.accessKeyId,
  R2_SECRET_ACCESS_KEY: store.secretAccessKey.reveal(),
  BELLOWS_WORKER_ADDRESSES: provider.gateway,
  PULUMI_CONFIG_PASSPHRASE: 'correct horse battery',
})

test('every command of "Run it for real" runs as it stands, and a worker is there in the end', {
  timeout: 600_000,
}, async () => {
  const checkout = join(folder, 'checkout')
  const exports: string[] = []
  const run = (command: string, environment: Record<string, string>) =>
    execa('bash', ['-euo', 'pipefail', '-c', [...exports, command].join('\n')], {
      cwd: checkout,
      env: {
        PATH: `${devEnvironment.languageHost}:${process.env.PATH}`,
        HOME: folder,
        BELLOWS_CACHE: devEnvironment.cache,
        DOCKER_CONFIG: folder,
        TMPDIR: folder,
        ...addresses(),
        ...environment,
      },
      extendEnv: false,
      stdin: 'ignore',
      all: true,
    })
  const settings = async () => parseEnv(await readFile(join(checkout, '.env'), 'utf8'))

  const left = new Set(Object.keys(notRun))
  const text = await block()
  const [, setUp = '', hand = '', rest = ''] =
    /^([\s\S]*)(# 3\. By hand[\s\S]*?;[^\n]*)([\s\S]*)$/.exec(text) ?? []
  const commands = (part: string) =>
    part
      .split(/\n| && /)
      .map((line) => line.replace(/(^| +)#.*$/, '').trim())
      .filter((line) => line !== '' && !left.delete(line))

  for (const command of commands(setUp)) {
    if (command.startsWith('export ')) exports.push(command)
    else await run(replaced(command), operator())
  }

  const empty = Object.entries(await settings()).flatMap(([name, value]) => (value === '' ? [name] : []))
  expect(hand.match(/[A-Z][A-Z0-9]*_[A-Z0-9_]+/g)?.sort()).toEqual(empty.sort())
  await putSettings(join(checkout, '.env'), byHand())

  const { PULUMI_BACKEND_URL: state = '', R2_ACCOUNT_ID: account } = await settings()
  const endpoint = `https://${account}.r2.cloudflarestorage.com&region=auto`
  expect(state).toContain(endpoint)
  const ours = { PULUMI_BACKEND_URL: state.replace(endpoint, `${store.endpoint}&region=${store.region}`) }

  const [bases = '', start = '', ...more] = commands(rest)
  expect([start, more, [...left]]).toEqual(['npm start', [], []])
  expect((await run(replaced(bases), ours)).all).toMatch(/^sdxl: \d+ files/m)

  const worker = run(`exec ${start}`, ours)
  const ended = worker.then(
    ({ all }) => all,
    ({ message }) => message,
  )
  try {
    const url = await new Promise<string>((resolve, reject) => {
      let said = ''
      worker.all?.on('data', (chunk: Buffer) => {
        said += chunk
        const [, found] = /"url":"(http:[^"]+)"/.exec(said) ?? []
        if (found) resolve(found)
      })
      ended.then((message) => reject(new Error(message)))
    })
    await vi.waitFor(async () => expect((await fetch(`${url}/healthz`)).status).toBe(200), 30_000)
  } finally {
    worker.kill()
    await ended
  }
})
