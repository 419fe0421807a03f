import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { containerOf, hostContract } from '../contract/hosts.ts'
import { memoryRemote } from './memory-host.ts'
import { simulatedMachine, type TrainerScript } from './simulated-machine.ts'

const script: TrainerScript = function* ({ container, stopping }) {
  yield { line: '{"step":1}' }
  switch (container.environment.BEHAVIOUR) {
    case 'trains':
      yield { line: '{"step":2}' }
      yield { line: '{"step":3}' }
      yield { write: 'out/model', content: 'model\n' }
      return
    case 'fails':
      yield { stderr: 'it broke' }
      yield { exit: 3 }
      return
    case 'hangs':
      yield 'hang'
  }
  for (let step = 2; !stopping(); step++) yield { stderr: `waiting ${step}` }
  yield { write: 'checkpoint/state.json', content: '{"step":1}\n' }
  yield { exit: 75 }
}

const signal = new AbortController().signal
const machine = { name: 'a', instanceId: 'i-a', host: '', zone: '' }

const setUp = async () => {
  const objects = new Map<string, Buffer>()
  const simulated = simulatedMachine(script)
  const web = {
    get: async (url: string) => objects.get(url),
    put: async (url: string, body: Buffer) => {
      objects.set(url, body)
      return `"${randomUUID()}"`
    },
  }
  const remote = memoryRemote({ find: () => simulated, web })
  const attach = () => remote.connect(machine, signal)
  const store = { objects, url: (path: string) => path }
  return { simulated, attach, host: await attach(), image: 'any', store }
}

describe('a simulated machine', async () => {
  const under = await setUp()
  hostContract(() => under)
})

test('a machine that is lost fails every call that waits on it, and every later one', async () => {
  const { host, attach, simulated } = await setUp()
  const container = containerOf('any', 'waits')
  await host.startTrainer(container, signal)
  const following = host.followTrainer(container.name, () => simulated.lose(), signal)
  await expect(following).rejects.toMatchObject({ reason: 'machine-lost' })
  await expect(attach()).rejects.toMatchObject({ reason: 'machine-lost' })
})

test('a machine that freezes answers no call, until the caller gives up', async () => {
  const { host, simulated } = await setUp()
  simulated.freeze()
  const caller = new AbortController()
  let settled = false
  const reading = host.readFile('plan.json', 1000, caller.signal).finally(() => {
    settled = true
  })
  await new Promise((resolve) => setTimeout(resolve, 5))
  expect(settled).toBe(false)
  caller.abort(new Error('given up'))
  await expect(reading).rejects.toThrow('given up')
})

test('a watcher hears of a spot notice that came before it, and ends with its connection', async () => {
  const { host, simulated } = await setUp()
  const notice = { kind: 'spot', action: 'terminate', at: new Date(0) } as const
  simulated.notice(notice)
  const heard: unknown[] = []
  await host.watch((one) => {
    if (one.kind !== 'spot') return // what comes every few seconds
    heard.push(one)
    simulated.dropConnections()
  }, signal)
  expect(heard).toEqual([notice])
})

test('a trainer that hangs is killed by a stop, and one that the kernel kills says so', async () => {
  const { host, simulated } = await setUp()
  const hanging = containerOf('any', 'hangs')
  await host.startTrainer(hanging, signal)
  await host.stopTrainer(hanging.name, 1, signal)
  expect(await host.followTrainer(hanging.name, () => {}, signal)).toMatchObject({
    exitCode: 137,
    outOfMemory: false,
  })
  const large = containerOf('any', 'waits')
  await host.startTrainer(large, signal)
  simulated.killForMemory(large.name)
  expect(await host.followTrainer(large.name, () => {}, signal)).toMatchObject({
    exitCode: 137,
    outOfMemory: true,
  })
})

test('a fault that was asked for comes once', async () => {
  const { host, simulated } = await setUp()
  simulated.failNext('pull', new Error('no'))
  await expect(host.pull('any', () => {}, signal)).rejects.toThrow('no')
  await host.pull('any', () => {}, signal)
  expect(simulated.calls.get('pull')).toBe(2)
})
