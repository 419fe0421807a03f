/** The trainer's container, by what Docker answers on a machine. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { trainerVerbs } from '../../src/remote/trainer.ts'
import { type Answer, type ScriptedMachine, startScriptedMachine } from './scripted-machine.ts'

const signal = new AbortController().signal
let machine: ScriptedMachine
beforeAll(async () => {
  machine = await startScriptedMachine()
})
afterAll(() => machine.close())

const state = (Status: string, more: object = {}): Answer => ({
  stdout: `${JSON.stringify({ Status, ExitCode: 0, OOMKilled: false, ...more })}\n`,
})
const absent: Answer = { exitCode: 1, stderr: 'Error: No such container: one\n' }

type Script = Readonly<Record<string, Answer | ((before: number) => Answer)>>

/** Answers by the command's first word or two. */
function trainerOn(script: Script, pollMs = 15_000) {
  const commands = machine.follow((command, before) => {
    const found = Object.entries(script).find(([start]) => command.startsWith(start))
    if (!found) return { exitCode: 125, stderr: `unexpected: ${command}` }
    return typeof found[1] === 'function' ? found[1](before) : found[1]
  })
  return { ...trainerVerbs(machine.session, { pollMs }), commands }
}

const container = { name: 'one', image: 'image', memoryBytes: 2 ** 30, gpu: false, environment: {} }
const inspect = "container inspect --format '{{json .State}}' one"
const started = (commands: readonly string[]) => commands.filter((each) => each.startsWith('run'))

test.each([
  ['created', 'absent'],
  ['configured', 'absent'],
  ['running', 'running'],
  ['paused', 'running'],
  ['exited', 'exited'],
  ['dead', 'exited'],
])('a container that is %s is %s', async (status, expected) => {
  const { trainerState } = trainerOn({ 'container inspect': state(status) })
  expect(await trainerState('one', signal)).toBe(expected)
})

test('one that there is not is absent, and a Docker that does not answer proves nothing', async () => {
  const { trainerState } = trainerOn({ 'container inspect': absent })
  expect(await trainerState('one', signal)).toBe('absent')
  const broken = trainerOn({
    'container inspect': { exitCode: 1, stderr: 'Cannot connect to the daemon' },
  })
  await expect(broken.trainerState('one', signal)).rejects.toMatchObject({
    reason: 'machine-broken',
    message: expect.stringContaining('Cannot connect to the daemon'),
  })
})

test.each(['running', 'exited'])('one that is %s is not started again', async (status) => {
  const { startTrainer, commands } = trainerOn({ 'container inspect': state(status) })
  await startTrainer(container, signal)
  expect(commands).toEqual([inspect])
})

test('what a start that failed halfway has left is cleared away first', async () => {
  const { startTrainer, commands } = trainerOn({
    'container inspect': state('created'),
    rm: {},
    run: {},
  })
  await startTrainer(container, signal)
  expect(commands.slice(0, 2)).toEqual([inspect, 'rm --force one'])
  expect(started(commands)).toEqual([expect.stringMatching(/ --detach --name one .* image$/)])
})

test('a container gets the GPU only after another has seen it', async () => {
  const { startTrainer, commands } = trainerOn({ 'container inspect': absent, run: {} })
  await startTrainer({ ...container, gpu: true }, signal)
  expect(started(commands)).toEqual([
    expect.stringContaining('--entrypoint nvidia-smi image -L'),
    expect.stringContaining('--detach --name one --gpus all'),
  ])
  const blind = trainerOn({
    'container inspect': absent,
    run: { exitCode: 125, stdout: 'NVIDIA', stderr: 'no driver' },
  })
  await expect(blind.startTrainer({ ...container, gpu: true }, signal)).rejects.toMatchObject({
    reason: 'machine-broken',
    message: 'containers cannot use the GPU of this machine',
    evidence: 'NVIDIA\nno driver',
  })
  expect(started(blind.commands)).toHaveLength(1)
})

test.each([
  ['write: no space left on device', 'disk-full'],
  ['cannot be run', 'machine-broken'],
])('a start that ends with "%s" is %s', async (stderr, reason) => {
  const { startTrainer } = trainerOn({ 'container inspect': absent, run: { exitCode: 125, stderr } })
  await expect(startTrainer(container, signal)).rejects.toMatchObject({ reason, evidence: stderr })
})

test('a start that another worker was quicker with is one', async () => {
  const { startTrainer } = trainerOn({
    'container inspect': (before) => (before === 0 ? absent : state('running')),
    run: { exitCode: 125, stderr: 'the name "one" is already in use' },
  })
  await startTrainer(container, signal)
})

async function followed(script: Script, pollMs?: number) {
  const { followTrainer, commands } = trainerOn(script, pollMs)
  const lines: string[] = []
  const exit = await followTrainer('one', (line) => lines.push(line), signal)
  return { exit, lines, commands }
}

test('its lines are handed over once each, with its end and its last words', async () => {
  const many = Array.from({ length: 50 }, (_, index) => `line ${index}`)
  const stdout = `${many.join('\n')}\n`
  const ended = state('exited', { ExitCode: 3, OOMKilled: true })
  const quiet = await followed({ logs: { stdout }, 'container inspect': ended })
  expect(quiet.lines).toEqual(many)
  expect(quiet.exit).toEqual({ exitCode: 3, outOfMemory: true, tail: many.slice(-40) })
  expect(quiet.commands).toEqual(['logs --follow one', inspect, 'logs one'])
  const complaining = await followed({ logs: { stdout, stderr: 'it broke\n' }, 'container inspect': ended })
  expect(complaining.exit.tail).toEqual(['it broke'])
  expect(complaining.lines).toEqual(many)
})

test('an engine that does not say whether memory ran out has not seen it', async () => {
  const stdout = '{"Status":"exited","ExitCode":1}\n'
  const { exit } = await followed({ logs: {}, 'container inspect': { stdout } })
  expect(exit).toEqual({ exitCode: 1, outOfMemory: false, tail: [] })
})

test('after a connection that broke, nothing is handed over twice', async () => {
  const { lines } = await followed({
    'logs --follow': (before) =>
      before === 0 ? { stdout: '1\n2\n', afterwards: 'drops' } : { stdout: '1\n2\n3\n' },
    'logs one': { stdout: '1\n2\n3\n' },
    'container inspect': state('exited'),
  })
  expect(lines).toEqual(['1', '2', '3'])
})

test('the last lines, which those that follow may miss, are read when it has ended', async () => {
  const { lines, exit } = await followed({
    'logs --follow': { stdout: '1\n' },
    'logs one': { stdout: '1\n2\n' },
    'container inspect': state('exited'),
  })
  expect([lines, exit.tail]).toEqual([
    ['1', '2'],
    ['1', '2'],
  ])
})

test('a log that never ends is left when its container has', async () => {
  const { exit } = await followed(
    {
      'logs --follow': { stdout: '1\n', afterwards: 'stays' },
      'logs one': { stdout: '1\n2\n' },
      'container inspect': (before) => (before < 2 ? state('running') : state('exited', { ExitCode: 75 })),
    },
    20,
  )
  expect(exit).toEqual({ exitCode: 75, outOfMemory: false, tail: ['1', '2'] })
})

test('a look that fails proves nothing: the log is read on', async () => {
  const { exit } = await followed(
    {
      'logs --follow': { afterwards: 'stays' },
      'logs one': {},
      'container inspect': (before) => (before < 2 ? { exitCode: 1, stderr: 'busy' } : state('exited')),
    },
    20,
  )
  expect(exit.exitCode).toBe(0)
})

test('a log that breaks off is gone on with while its container runs', async () => {
  const { lines, commands } = await followed({
    'logs --follow': (before) => ({ stdout: before === 0 ? '1\n' : '1\n2\n' }),
    'logs one': { stdout: '1\n2\n' },
    'container inspect': (before) => (before <= 20 ? state('running') : state('exited')),
  })
  expect(lines).toEqual(['1', '2'])
  expect(commands.filter((each) => each === 'logs --follow one')).toHaveLength(2)
}, 60_000)

test('a container that is gone has crashed', async () => {
  await expect(followed({ logs: {}, 'container inspect': absent })).rejects.toMatchObject({
    reason: 'trainer-crashed',
    message: 'the container one is not there any more',
  })
})

test('stopping gives it its time; what could not be stopped, but has ended, is fine', async () => {
  const { stopTrainer, commands } = trainerOn({ stop: {} })
  await stopTrainer('one', 20, signal)
  expect(commands).toEqual(['stop -t 20 one'])
  const failed: Answer = { exitCode: 1, stderr: 'cannot kill' }
  for (const now of [absent, state('exited')]) {
    const ended = trainerOn({ stop: failed, 'container inspect': now })
    await ended.stopTrainer('one', 20, signal)
  }
  const stubborn = trainerOn({ stop: failed, 'container inspect': state('running') })
  await expect(stubborn.stopTrainer('one', 20, signal)).rejects.toMatchObject({
    reason: 'machine-broken',
    message: 'the trainer could not be stopped: cannot kill',
  })
})
