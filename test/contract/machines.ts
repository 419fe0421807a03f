/** What every `Machines` does, as one text: the simulated cloud and the real engine run it alike. */
import { afterEach, expect, test } from 'vitest'
import type { MachineOrder, Machines } from '../../src/cloud/machines.ts'

export type MachinesUnderTest = {
  readonly machines: Machines
  /** A new order, of a machine that was never ordered. */
  newOrder(): MachineOrder
  /** The machine ends by itself. */
  lose(name: string): Promise<void> | void
  /** The next order finds no capacity. */
  refuseNext(): Promise<void> | void
}

export function machinesContract(setUp: () => MachinesUnderTest): void {
  const forever = () => new AbortController().signal
  const names: string[] = []
  const ordered = async (under: MachinesUnderTest, order = under.newOrder()) => {
    names.push(order.name)
    return { order, machine: await under.machines.order(order, forever()) }
  }
  const thingsOf = async ({ machines }: MachinesUnderTest, name: string) =>
    (await machines.existing()).filter((thing) => thing.name === name)

  afterEach(async () => {
    const { machines } = setUp()
    await Promise.all(names.splice(0).map((name) => machines.release(name)))
  })

  test('offers suffice and are sorted by price', async () => {
    const { machines } = setUp()
    const offers = await machines.offers({ gpuMemoryGb: 24, gpus: 1, diskGb: 50 })
    expect(offers.length).toBeGreaterThan(0)
    expect(offers.every(({ gpuMemoryGb, gpus }) => gpuMemoryGb >= 24 && gpus >= 1)).toBe(true)
    const prices = offers.map(({ usdPerHour }) => usdPerHour)
    expect(prices).toEqual(prices.toSorted((one, other) => one - other))
    expect(await machines.offers({ gpuMemoryGb: 10_000, gpus: 1, diskGb: 50 })).toEqual([])
  })

  test('a machine that was ordered runs, can be reached, and carries its names', async () => {
    const under = setUp()
    const { order, machine } = await ordered(under)
    expect(machine).toMatchObject({
      name: order.name,
      zone: order.offer.zone,
      host: expect.stringMatching(/\d/),
    })
    const state = await under.machines.state(order.name)
    expect(state).toMatchObject({ instanceId: machine.instanceId })
    expect(['pending', 'running']).toContain(state.state)
    const things = await thingsOf(under, order.name)
    expect(things.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['instance', 'stack']))
    for (const thing of things)
      expect(thing).toMatchObject({ trainingId: order.trainingId, attempt: order.attempt })
  })

  test('an order that is repeated gives the same machine', async () => {
    const under = setUp()
    const { order, machine } = await ordered(under)
    expect(await under.machines.order(order, forever())).toEqual(machine)
    const things = await thingsOf(under, order.name)
    expect(things.filter(({ kind }) => kind === 'instance')).toHaveLength(1)
  })

  test('release leaves nothing, and may be repeated', async () => {
    const under = setUp()
    const { order } = await ordered(under)
    await under.machines.release(order.name)
    expect(await thingsOf(under, order.name)).toEqual([])
    expect(['absent', 'terminated']).toContain((await under.machines.state(order.name)).state)
    await under.machines.release(order.name)
  })

  test('order and release tell when the machine was launched, for that is what is paid from', async () => {
    const under = setUp()
    const { order, machine } = await ordered(under)
    expect(await under.machines.release(order.name)).toEqual({ launchedAt: machine.launchedAt })
    const never = under.newOrder()
    expect(await under.machines.release(never.name)).toEqual({ launchedAt: undefined })
  })

  test('what a machine has written to its console can be read, as plain text, also when it has ended', async () => {
    const under = setUp()
    const { order } = await ordered(under)
    const written = /^[^\p{Cc}]* has begun (its|the) first boot$/mu
    expect(await under.machines.console(order.name)).toMatch(written)
    await under.lose(order.name)
    expect(await under.machines.console(order.name)).toMatch(written)
  })

  test('a machine that never was is absent, and releasing it is fine', async () => {
    const { machines, newOrder } = setUp()
    const { name } = newOrder()
    expect(await machines.console(name)).toBeUndefined()
    expect(await machines.state(name)).toEqual({ state: 'absent' })
    await machines.release(name)
  })

  test('a machine that ends by itself is seen, ordering it again fails, and the rest of it can be released', async () => {
    const under = setUp()
    const { order, machine } = await ordered(under)
    await under.lose(order.name)
    expect(await under.machines.state(order.name)).toMatchObject({
      state: 'terminated',
      instanceId: machine.instanceId,
    })
    await expect(under.machines.order(order, forever())).rejects.toMatchObject({ reason: 'machine-lost' })
    await under.machines.release(order.name)
    expect(await thingsOf(under, order.name)).toEqual([])
  })

  test('an offer without capacity ends in no-capacity, and what was begun can be released', async () => {
    const under = setUp()
    await under.refuseNext()
    await expect(ordered(under)).rejects.toMatchObject({ reason: 'no-capacity' })
    const name = names.at(-1) as string
    expect(await under.machines.release(name)).toEqual({ launchedAt: undefined })
    expect(await thingsOf(under, name)).toEqual([])
  })

  test('two machines stand side by side, and releasing one leaves the other', async () => {
    const under = setUp()
    const [one, other] = await Promise.all([ordered(under), ordered(under)])
    await under.machines.release(one.order.name)
    expect(await under.machines.state(other.order.name)).toMatchObject({
      instanceId: other.machine.instanceId,
    })
    expect((await under.machines.state(other.order.name)).state).not.toBe('terminated')
  })

  test('an order whose signal has aborted makes nothing', async () => {
    const under = setUp()
    const order = under.newOrder()
    names.push(order.name)
    await expect(under.machines.order(order, AbortSignal.abort(new Error('cancelled')))).rejects.toThrow(
      'cancelled',
    )
    expect((await thingsOf(under, order.name)).filter(({ kind }) => kind === 'instance')).toEqual([])
  })
}
