import { describe, expect, test } from 'vitest'
import { quotaOf } from '../../src/cloud/quotas.ts'
import { Failure } from '../../src/failure.ts'
import { order } from '../cloud/samples.ts'
import { type MachinesUnderTest, machinesContract } from '../contract/machines.ts'
import { type Moment, memoryMachines } from './memory-machines.ts'

describe('the simulated cloud', () => {
  let refuse = false
  let orders = 0
  const machines = memoryMachines({
    moment: ({ verb, point }) => {
      if (!refuse || verb !== 'order' || point !== 'key-pair') return
      refuse = false
      throw new Failure('no-capacity', 'none is free')
    },
  })
  const under: MachinesUnderTest = {
    machines,
    newOrder: () => {
      const trainingId = `665f1c2ab7d4e8a1c0de${String(++orders).padStart(4, '0')}`
      return order({ trainingId, name: `bellows-${trainingId}-1` })
    },
    lose: (name) => machines.lose(name),
    refuseNext: () => {
      refuse = true
    },
  }
  machinesContract(() => under)
})

const forever = () => new AbortController().signal
const failingAt = (verb: Moment['verb'], point: Moment['point']) =>
  memoryMachines({
    moment: (moment) => {
      if (moment.verb === verb && moment.point === point) throw new Error(`broke at ${point}`)
    },
  })

test('an order that breaks after the instance exists leaves it running until it is released', async () => {
  const machines = failingAt('order', 'instance')
  await expect(machines.order(order(), forever())).rejects.toThrow('broke at instance')
  expect(machines.made()).toMatchObject([{ running: true }])
  await machines.release(order().name)
  expect(machines.left()).toEqual([])
  expect(machines.made()).toMatchObject([{ running: false }])
})

test('a release that breaks after the instance ended leaves the rest, but nothing that runs', async () => {
  const machines = failingAt('release', 'terminated')
  await machines.order(order(), forever())
  await expect(machines.release(order().name)).rejects.toThrow('broke at terminated')
  expect(machines.made()).toMatchObject([{ running: false }])
  expect(machines.left().map(({ kind }) => kind)).toEqual(['stack', 'key-pair', 'security-group'])
})

test('a machine that is lost while it is ordered ends the order', async () => {
  const machines = memoryMachines({
    moment: ({ verb, point, name }) => {
      if (verb === 'order' && point === 'instance') machines.lose(name as string)
    },
  })
  await expect(machines.order(order(), forever())).rejects.toMatchObject({ reason: 'no-capacity' })
})

test('a release waits for the order that holds the stack', async () => {
  const gate = Promise.withResolvers<void>()
  const machines = memoryMachines({
    moment: ({ verb, point }) => (verb === 'order' && point === 'key-pair' ? gate.promise : undefined),
  })
  const ordering = machines.order(order(), forever())
  const releasing = machines.release(order().name)
  gate.resolve()
  await Promise.all([ordering, releasing])
  expect(machines.left()).toEqual([])
})

test('two deployments of one account hold a machine of the same name each, and neither sees the other’s', async () => {
  const mine = memoryMachines({ deployment: 'production' })
  const theirs = mine.as('rehearsal')
  const [one, other] = [await mine.order(order(), forever()), await theirs.order(order(), forever())]
  expect(other.instanceId).not.toBe(one.instanceId)
  expect((await mine.existing()).find(({ kind }) => kind === 'instance')?.id).toBe(one.instanceId)
  await mine.release(order().name)
  expect(await mine.existing()).toEqual([])
  expect(await theirs.state(order().name)).toEqual({ state: 'running', instanceId: other.instanceId })
  expect(theirs.made()).toMatchObject([{ running: true }])
  expect(mine.trespasses()).toEqual([])
})

test('the machines of another deployment use up the account’s quota', async () => {
  const mine = memoryMachines({ deployment: 'production' })
  mine.quota(quotaOf(order().offer), 1)
  await mine.as('rehearsal').order(order(), forever())
  await expect(mine.order(order(), forever())).rejects.toMatchObject({ reason: 'no-capacity' })
})

test('a group that something holds on to stays with its stack, and its machine ends', async () => {
  const machines = memoryMachines()
  await machines.order(order(), forever())
  machines.holdOn(order().name, true)
  await expect(machines.release(order().name)).rejects.toThrow(
    /is not gone: stack \S+, security-group \S+ is left$/,
  )
  expect(machines.made()).toMatchObject([{ running: false }])
  machines.holdOn(order().name, false)
  await machines.release(order().name)
  expect(machines.left()).toEqual([])
})
