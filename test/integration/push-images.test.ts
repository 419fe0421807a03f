/** `bellows images push`, as an operator types it, with Docker and a registry; the trainer is the tiny one. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, expect, test } from 'vitest'
import { devEnvironment } from '../support/dev-environment.ts'
import { startRegistry } from '../support/registry.ts'

const root = join(import.meta.dirname, '../..')
const folder = await mkdtemp(join(tmpdir(), 'bellows-test-'))
const pushed: string[] = []

afterAll(async () => {
  await rm(folder, { recursive: true })
  for (const host of pushed) {
    const images = ['image', 'ls', '--quiet', '--filter', `reference=${host}/*/*`]
    const { stdout } = await execa('docker', [...images, '--format', '{{.Repository}}:{{.Tag}}'], {
      reject: false,
    })
    for (const name of stdout.split('\n').filter(Boolean))
      await execa('docker', ['image', 'rm', '--no-prune', name], { reject: false })
  }
})

function push(registry: string, options: readonly string[] = [], env: Record<string, string> = {}) {
  pushed.push(registry.split('/')[0] ?? '')
  const tiny = ['--trainer', 'tiny-trainer', '--family', 'sdxl']
  return execa(process.execPath, ['src/cli.ts', 'images', 'push', registry, ...tiny, ...options], {
    cwd: root,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, DOCKER_CONFIG: folder, ...env },
    extendEnv: false,
    reject: false,
  })
}

test('the image is built, pushed, and named by the digest that the registry has', async () => {
  await using registry = await startRegistry()
  const { stdout, stderr, exitCode } = await push(`${registry.host}/bellows`, ['--family', 'wan'])
  expect({ exitCode, stderr }).toMatchObject({
    exitCode: 0,
    stderr: expect.stringContaining('SDXL: pushing'),
  })
  const name = new RegExp(
    `^BELLOWS_IMAGE_SDXL=${registry.host}/(bellows/trainer-sdxl@sha256:[0-9a-f]{64})\n` +
      `BELLOWS_IMAGE_WAN=${registry.host}/(bellows/trainer-wan@sha256:[0-9a-f]{64})$`,
  )
  const [, sdxl = '', wan = ''] = name.exec(stdout) ?? []
  const inspect = ['image', 'inspect', '--format', '{{.Id}}', devEnvironment.images.trainers.tiny ?? '']
  const { stdout: id } = await execa('docker', inspect)
  expect(registry.manifest(sdxl)?.config.digest).toBe(id)
  expect(registry.manifest(wan)?.config.digest).toBe(id)
  await execa('docker', ['pull', `${registry.host}/${sdxl}`])
})

test('a user who isn’t logged in is told how; one who is may push, and the setting in a file is replaced', async () => {
  const login = { user: 'somebody', password: 'a password' }
  await using registry = await startRegistry({ login })
  const { host } = registry
  const refused = await push(`${host}/bellows`)
  expect(refused).toMatchObject({ exitCode: 1, stdout: '' })
  expect(refused.stderr).toContain(`Log in as a user who may push there: docker login ${host}`)
  await execa('docker', ['login', '--username', login.user, '--password-stdin', host], {
    input: login.password,
    env: { DOCKER_CONFIG: folder },
  })
  const file = join(folder, '.env')
  await writeFile(file, 'BELLOWS_IMAGE_SDXL=old\nMONGODB_URL=mongodb://x\n')
  expect(await push(`${host}/bellows`, ['--into', file])).toMatchObject({ exitCode: 0, stdout: '' })
  expect(await readFile(file, 'utf8')).toMatch(
    /^BELLOWS_IMAGE_SDXL=127[\d.]+:\d+\/bellows\/trainer-sdxl@sha256:[0-9a-f]{64}\nMONGODB_URL=mongodb:\/\/x\n$/,
  )
})

test('a missing repository is reported', async () => {
  await using registry = await startRegistry({ repositories: ['other/trainer-sdxl'] })
  const { stderr, exitCode } = await push(`${registry.host}/bellows`)
  expect(exitCode).toBe(1)
  expect(stderr).toContain(`${registry.host} has no such repository: make it there first.`)
})

test('a registry that is away is told', async () => {
  const { stderr, exitCode } = await push('127.0.0.1:1/bellows')
  expect(exitCode).toBe(1)
  expect(stderr).toContain("127.0.0.1:1 can't be reached from this computer's Docker.")
})

test('without Docker it says so, and begins nothing', async () => {
  const { stderr, exitCode } = await push('127.0.0.1:1/bellows', [], { DOCKER_HOST: 'unix:///nowhere' })
  expect(exitCode).toBe(1)
  expect(stderr).toBe(
    'Docker does not answer this user: install it, start it, or add the user to the group docker.',
  )
})
