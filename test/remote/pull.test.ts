/** Getting a trainer's image, by what Docker answers on a machine. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { imageDigest, pull } from '../../src/remote/pull.ts'
import { Secret } from '../../src/secret.ts'
import { type Answer, type ScriptedMachine, startScriptedMachine } from './scripted-machine.ts'

const signal = new AbortController().signal
let machine: ScriptedMachine
beforeAll(async () => {
  machine = await startScriptedMachine()
})
afterAll(() => machine.close())

const image = 'ghcr.io/lab/trainer:1'
const absent: Answer = { exitCode: 1, stderr: 'No such image' }
const present = (about: object): Answer => ({ stdout: JSON.stringify(about) })
const own = `ghcr.io/lab/trainer@sha256:${'a'.repeat(64)}`

/** `inspections`: the answers, of which the last is given again and again. */
function docker(inspections: readonly Answer[], pulled: Answer = {}) {
  let looks = 0
  return machine.follow((command) => {
    if (command.startsWith('image inspect'))
      return inspections[Math.min(looks++, inspections.length - 1)] ?? {}
    return pulled
  })
}

async function pullIt(
  loginFor = async (_: string) => undefined as undefined | { user: string; password: Secret },
) {
  const progress: string[] = []
  const pulling = machine.session.use(
    (ssh) => pull(ssh, { image, loginFor }, (said) => progress.push(said), signal),
    signal,
  )
  await pulling
  return progress
}

const digestOf = (name = image) => machine.session.use((ssh) => imageDigest(ssh, name, signal), signal)

test('an image that is there is not pulled, and its registry is asked for no login', async () => {
  const commands = docker([present({ digests: [own], volumes: null })])
  await pullIt(async () => {
    throw new Error('asked')
  })
  expect(commands.every((each) => each.startsWith('image inspect'))).toBe(true)
})

test('one that is not there is pulled, and its layers are counted', async () => {
  const stdout = [
    '1: Pulling from lab/trainer',
    '0123456789ab: Pulling fs layer',
    'abcdef012345: Already exists',
    '0123456789ab: Pull complete',
    '',
  ].join('\n')
  const commands = docker([absent, present({})], { stdout })
  expect(await pullIt()).toEqual(
    [0, 1, 2].map((done, index) => `${done} of ${index === 0 ? 1 : 2} layers of ${image}`),
  )
  expect(commands.filter((each) => each.startsWith('pull'))).toEqual([`pull ${image}`])
})

test('a login goes by stdin, in no command', async () => {
  const commands = docker([absent, present({})])
  const asked: string[] = []
  await pullIt(async (registry) => {
    asked.push(registry)
    return { user: 'robot', password: new Secret('hidden-word') }
  })
  expect(asked).toEqual(['ghcr.io'])
  expect(commands.join('\n')).toContain(`pull-with-login ${image}`)
  expect(commands.join('\n')).not.toContain('hidden-word')
})

test('a pull that fails says why', async () => {
  docker([absent], { exitCode: 1, stderr: 'manifest unknown\n\n' })
  await expect(pullIt()).rejects.toMatchObject({
    reason: 'image-refused',
    message: expect.stringContaining('manifest unknown'),
  })
})

test('a place to write to beside /job and /tmp is refused, by its name and in short', async () => {
  docker([present({ volumes: { '/job': {}, '/tmp': {} } })])
  await pullIt()
  docker([present({ volumes: { '/job': {}, '/data\u001b[2J': {}, [`/${'x'.repeat(500)}`]: {} } })])
  const refused = pullIt()
  await expect(refused).rejects.toMatchObject({
    reason: 'bad-request',
    message: expect.stringMatching(/declares a VOLUME \(\/data, \/x{190,}\)/),
  })
  await expect(refused).rejects.not.toMatchObject({ message: expect.stringMatching(/x{201}/) })
})

test('the digest is that of the name that it was pulled by', async () => {
  const mirror = `mirror.example/other/trainer@sha256:${'b'.repeat(64)}`
  docker([present({ digests: [mirror, own] })])
  expect(await digestOf()).toBe(`sha256:${'a'.repeat(64)}`)
  docker([present({ digests: [mirror] })])
  expect(await digestOf()).toBe(`sha256:${'b'.repeat(64)}`)
  for (const none of [
    absent,
    present({}),
    present({ digests: [] }),
    present({ digests: ['trainer@sha256:1'] }),
  ]) {
    docker([none])
    expect(await digestOf()).toBeUndefined()
  }
})
