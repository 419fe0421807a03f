import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { pulumiMachines } from '../../../src/cloud/aws/machines.ts'
import { machineKeys } from '../../../src/cloud/machine-keys.ts'
import type { MachineOrder } from '../../../src/cloud/machines.ts'
import { StackError } from '../../../src/cloud/pulumi/stack-child.ts'
import type { Outputs, Stacks } from '../../../src/cloud/pulumi/stacks.ts'
import { Secret } from '../../../src/secret.ts'
import { workerFault } from '../../../src/worker-fault.ts'
import { machinesContract } from '../../contract/machines.ts'
import { memoryEc2 } from '../../fakes/memory-ec2.ts'
import { name, offer, order, trainingId } from '../samples.ts'

const forever = () => new AbortController().signal

/** The engine in memory; `up` calls `make`, which may throw before or after it has launched. */
function setUp(deployment = 'test') {
  const ec2 = memoryEc2(deployment)
  const known = new Map<string, Outputs>()
  const wanted: { inputs: Record<string, unknown>; config?: unknown }[] = []
  const world = {
    broken: new Set<string>(),
    make: (order: MachineOrder): Outputs => {
      const instance = ec2.launch(order)
      return { instanceId: instance.id, host: '203.0.113.7', zone: instance.zone }
    },
  }
  /** As the engine answers for a state that it can't read. */
  const whole = (stack: string, operation: 'up' | 'outputs' | 'destroy') => {
    if (!world.broken.has(stack)) return
    throw new StackError('unreadable', operation, stack, 'place 1: unexpected end of JSON input')
  }
  const stacks: Stacks = {
    async up(stack, { inputs, config }) {
      const given = inputs as Record<string, unknown> & { trainingId: string; attempt: number; zone: string }
      whole(stack, 'up')
      wanted.push({ inputs: given, config })
      known.set(stack, known.get(stack) ?? {})
      const outputs = world.make(
        order({
          name: stack,
          trainingId: given.trainingId,
          attempt: given.attempt,
          offer: offer({ zone: given.zone }),
        }),
      )
      known.set(stack, outputs)
      return outputs
    },
    refresh: async () => {},
    async destroy(stack) {
      whole(stack, 'destroy')
      const instanceId = known.get(stack)?.instanceId
      if (instanceId) {
        // What the stack knows is removed; what it never wrote down is not.
        const own = ec2.resources.filter(
          ({ tags, id }) => tags.Name === stack && (id === instanceId || !id.startsWith('i-')),
        )
        for (const each of own)
          if (each.kind !== 'instance') ec2.resources.splice(ec2.resources.indexOf(each), 1)
      }
      known.delete(stack)
    },
    remove: async (stack) => void known.delete(stack),
    async discard(stack) {
      world.broken.delete(stack)
      known.delete(stack)
    },
    has: async (stack) => known.has(stack),
    async outputs(stack) {
      whole(stack, 'outputs')
      return known.get(stack)
    },
    list: async () => [...known.keys()].map((stack) => ({ name: stack, updatedAt: new Date() })),
    close: async () => {},
  }
  const machines = pulumiMachines({
    deployment,
    stacks,
    bases: [
      {
        region: 'us-east-1',
        ec2: ec2.client,
        vpcId: 'vpc-1',
        subnets: { 'us-east-1a': 'subnet-a' },
        securityGroupId: 'sg-1',
        instanceProfile: 'none',
        imageId: 'ami-1',
      },
    ],
    loginUser: 'ec2-user',
    keys: (machine) => machineKeys(new Secret('s'.repeat(32)), machine),
    workerNetworks: ['198.51.100.4/32', '203.0.113.0/28'],
    market: { market: 'spot-first' },
    terminationSeconds: 5,
  })
  return { ec2, machines, stacks, world, wanted, known }
}

describe('machines on the simulated EC2', () => {
  const { ec2, machines, world } = setUp()
  const launch = world.make
  let orders = 0
  machinesContract(() => ({
    machines,
    newOrder: () => {
      const id = `665f1c2ab7d4e8a1c0de${String(++orders).padStart(4, '0')}`
      return order({ trainingId: id, name: `bellows-${id}-1` })
    },
    lose: (lost) => {
      const reason = {
        Code: 'Server.SpotInstanceTermination',
        Message: 'Server.SpotInstanceTermination: taken back',
      }
      for (const { id, tags } of ec2.running()) if (tags.Name === lost) ec2.end(id, reason)
    },
    refuseNext: () => {
      world.make = () => {
        world.make = launch
        throw new Error('api error InsufficientInstanceCapacity: none')
      }
    },
  }))
})

test('offers are the newest spot prices in zones that have a subnet', async () => {
  const { machines } = setUp()
  const offers = await machines.offers({ gpuMemoryGb: 24, gpus: 1, diskGb: 50 })
  expect(offers.map(({ zone, market, usdPerHour }) => `${zone} ${market} ${usdPerHour}`)).toEqual([
    'us-east-1a spot 0.41',
    'us-east-1a on-demand 0.8',
  ])
})

test.each([
  ['AuthFailure', /^AWS does not know the worker’s credentials/],
  ['RequestExpired', /^the clock of the worker is wrong/],
  ['ExpiredToken', /^the worker’s AWS credentials have expired/],
])('offers that are asked for with bad credentials are the operator’s to mend: %s', async (code, message) => {
  const { ec2, machines } = setUp()
  ec2.refusals.push(['DescribeSpotPriceHistory', code])
  await expect(machines.offers({ gpuMemoryGb: 24, gpus: 1, diskGb: 50 })).rejects.toMatchObject({
    reason: 'misconfigured',
    message: expect.stringMatching(message),
  })
})

test('the program gets what the base and the order say, with the region as configuration', async () => {
  const { machines, wanted } = setUp()
  await machines.order(order(), forever())
  expect(wanted).toMatchObject([
    {
      config: { 'aws:region': 'us-east-1', 'aws:maxRetries': '3' },
      inputs: {
        name,
        trainingId,
        subnetId: 'subnet-a',
        market: 'spot',
        workerNetworks: ['198.51.100.4/32', '203.0.113.0/28'],
      },
    },
  ])
  const { publicKey, userData } = (wanted[0] as (typeof wanted)[0]).inputs as {
    publicKey: string
    userData: string
  }
  expect(publicKey).toMatch(/^ssh-ed25519 /)
  expect(userData).toContain(publicKey)
  expect(userData).toContain('\nAllowUsers ec2-user\n')
})

describe('the machine image', () => {
  const disks = (wanted: readonly { inputs: Record<string, unknown> }[]) =>
    wanted.map(({ inputs }) => inputs.diskGb)
  const questions = (calls: readonly string[]) =>
    calls.filter((call) => call === 'DescribeImagesCommand').length

  test('gives the disk its size where the order wants less, and is asked about once', async () => {
    const { ec2, machines, wanted } = setUp()
    ec2.image.diskGb = 75
    for (const [index, diskGb] of [50, 100].entries()) {
      const id = `665f1c2ab7d4e8a1c0de000${index}`
      await machines.order(order({ trainingId: id, name: `bellows-${id}-1`, diskGb }), forever())
    }
    expect(disks(wanted)).toEqual([75, 100])
    expect(questions(ec2.calls)).toBe(1)
  })

  test.each(['InvalidAMIID.NotFound', 'InvalidAMIID.Malformed', 'InvalidAMIID.Unavailable'])(
    'that is refused with %s is the operator’s to mend, and is asked about again',
    async (code) => {
      const { ec2, machines, wanted } = setUp()
      ec2.refusals.push(['DescribeImages', code])
      await expect(machines.order(order(), forever())).rejects.toMatchObject({
        reason: 'misconfigured',
        message: `the machine image ami-1 (BELLOWS_AMI) does not exist (${code}) in us-east-1`,
      })
      expect(wanted).toEqual([])
      await machines.order(order(), forever())
      expect(wanted).toHaveLength(1)
    },
  )

  test('that has been taken back since is so too', async () => {
    const { machines, world, ec2 } = setUp()
    ec2.image.state = 'deregistered'
    await expect(machines.order(order(), forever())).rejects.toMatchObject({
      reason: 'misconfigured',
      message: 'the machine image ami-1 (BELLOWS_AMI) is deregistered in us-east-1',
    })
    ec2.image.state = 'available'
    world.make = () => {
      throw new Error("api error InvalidAMIID.NotFound: The image id '[ami-1]' does not exist")
    }
    await expect(machines.order(order(), forever())).rejects.toMatchObject({
      reason: 'misconfigured',
      message: expect.stringMatching(/BELLOWS_AMI .* \(InvalidAMIID\.NotFound\)$/),
    })
  })

  test('about which EC2 stumbles is asked about again at once', async () => {
    const { ec2, machines, wanted } = setUp()
    ec2.refusals.push(['DescribeImages', 'RequestLimitExceeded'])
    await machines.order(order(), forever())
    expect(disks(wanted)).toEqual([100])
  })
})

test('an engine that dies after AWS has made the machine costs one machine, not two', async () => {
  const { ec2, machines, world } = setUp()
  const launch = world.make
  world.make = (wanted) => {
    world.make = launch
    launch(wanted)
    throw new StackError('failed', 'up', wanted.name, 'ended with SIGKILL')
  }
  await expect(machines.order(order(), forever())).rejects.toMatchObject({ reason: 'internal' })
  expect(ec2.running()).toHaveLength(1)
  const machine = await machines.order(order(), forever())
  expect(ec2.running().map(({ id }) => id)).toEqual([machine.instanceId])
})

test('what the engine never wrote down is found by its tags and removed', async () => {
  const { ec2, machines, world } = setUp()
  world.make = (wanted) => {
    ec2.launch(wanted)
    throw new StackError('overran', 'up', wanted.name, 'took too long')
  }
  await expect(machines.order(order(), forever())).rejects.toMatchObject({ reason: 'no-capacity' })
  await machines.release(name)
  expect(await machines.existing()).toEqual([])
})

test('a machine that appears while its stack is destroyed is ended all the same', async () => {
  const { ec2, machines, stacks } = setUp()
  const destroy = stacks.destroy
  stacks.destroy = async (stack) => {
    ec2.launch(order())
    await destroy(stack)
  }
  await machines.release(name)
  expect(ec2.running()).toEqual([])
  expect(await machines.existing()).toEqual([])
})

test('money first: a machine is ended though the engine can’t destroy its stack, and that is told', async () => {
  const { ec2, machines, stacks } = setUp()
  await machines.order(order(), forever())
  stacks.destroy = async () => {
    throw new StackError('failed', 'destroy', name, 'the state is broken')
  }
  await expect(machines.release(name)).rejects.toThrow('the state is broken')
  expect(ec2.running()).toEqual([])
  expect((await machines.existing()).map(({ kind }) => kind)).toContain('stack')
})

test('a stack that can’t be removed is never called released', async () => {
  const { machines, stacks, known } = setUp()
  await machines.order(order(), forever())
  stacks.destroy = async () => {}
  known.set(name, {})
  await expect(machines.release(name)).rejects.toThrow(`${name} is not gone: stack ${name} is left`)
})

test('a refusal that comes late, as the reason of a machine that ended, is no capacity', async () => {
  const { ec2, machines, world } = setUp()
  world.make = (wanted) => {
    const { id } = ec2.launch(wanted)
    ec2.end(id, {
      Code: 'Server.InsufficientInstanceCapacity',
      Message: 'Server.InsufficientInstanceCapacity: Insufficient capacity to satisfy instance request',
    })
    throw new StackError(
      'failed',
      'up',
      wanted.name,
      "unexpected state 'terminated', wanted target 'running'",
    )
  }
  await expect(machines.order(order(), forever())).rejects.toMatchObject({
    reason: 'no-capacity',
    message: expect.stringContaining('InsufficientInstanceCapacity'),
  })
})

test('a request that AWS is too busy for is tried again', async () => {
  const { ec2, machines } = setUp()
  await machines.order(order(), forever())
  ec2.refusals.push(
    ['TerminateInstances', 'RequestLimitExceeded'],
    ['DescribeInstances', 'ServiceUnavailable'],
  )
  await machines.release(name)
  expect(ec2.running()).toEqual([])
})

test('a request that AWS refuses for good is not tried again', async () => {
  const { ec2, machines } = setUp()
  await machines.order(order(), forever())
  ec2.refusals.push(['TerminateInstances', 'UnauthorizedOperation'])
  await expect(machines.release(name)).rejects.toMatchObject({ name: 'UnauthorizedOperation' })
  expect(ec2.calls.filter((call) => call === 'TerminateInstancesCommand')).toHaveLength(1)
})

test('another deployment’s machines and the base’s own group are never seen or ended', async () => {
  const { ec2, machines } = setUp('one')
  const tags = {
    Name: name,
    'bellows:deployment': 'other',
    'bellows:job': trainingId,
    'bellows:attempt': '1',
  }
  ec2.add('instance', tags, 'us-east-1a', 'running')
  ec2.add('security-group', { Name: 'bellows-one-machines', 'bellows:deployment': 'one' }, 'us-east-1a')
  expect(await machines.existing()).toEqual([])
  expect(await machines.state(name)).toEqual({ state: 'absent' })
  await machines.release(name)
  expect(ec2.running()).toHaveLength(1)
})

describe('a stack whose state can’t be read', () => {
  test('is released by EC2’s tags, and its state is removed with a warning', async () => {
    const { ec2, machines, world, known } = setUp()
    await machines.order(order(), forever())
    world.broken.add(name)
    expect(await machines.release(name)).toMatchObject({
      launchedAt: expect.any(Date),
      warning: expect.stringMatching(`^the state of the stack ${name} could not be read and was removed`),
    })
    expect(ec2.running()).toEqual([])
    expect(await machines.existing()).toEqual([])
    expect(known.has(name)).toBe(false)
  })

  test('keeps no other from being released or listed, and is listed itself', async () => {
    const { machines, world, stacks } = setUp()
    const other = order({
      name: 'bellows-665f1c2ab7d4e8a1c0de0002-1',
      trainingId: '665f1c2ab7d4e8a1c0de0002',
    })
    await machines.order(order(), forever())
    await machines.order(other, forever())
    world.broken.add(name)
    const list = stacks.list
    stacks.list = async () => {
      throw new Error('a release lists no other stacks')
    }
    await machines.release(other.name)
    stacks.list = list
    expect(await machines.existing()).toContainEqual(expect.objectContaining({ kind: 'stack', name }))
  })

  test('does not cost its job the machine that runs', async () => {
    const { ec2, machines, world } = setUp()
    const machine = await machines.order(order(), forever())
    world.broken.add(name)
    expect(await machines.order(order(), forever())).toEqual(machine)
    expect(ec2.running()).toHaveLength(1)
  })

  test.each([
    ['pending', 1],
    ['running', 2],
  ])('is made again where its machine is %s, or there are %i', async (state, count) => {
    const { ec2, machines, world } = setUp()
    for (let made = 0; made < count; made++) ec2.launch(order()).state = state
    const before = ec2.resources.filter(({ kind }) => kind === 'instance').map(({ id }) => id)
    world.broken.add(name)
    const { instanceId, warning } = await machines.order(order(), forever())
    expect(warning).toContain('could not be read')
    expect(before).not.toContain(instanceId)
    expect(ec2.running().map(({ id }) => id)).toEqual([instanceId])
  })
})

test('a machine that is still pending is ended too', async () => {
  const { ec2, machines } = setUp()
  const pending = ec2.launch(order())
  pending.state = 'pending'
  await machines.release(name)
  expect(pending.state).toBe('terminated')
})

test('a release has waited until its machine was seen terminated', async () => {
  const { ec2, machines } = setUp()
  const { state } = ec2.launch(order())
  expect(state).toBe('running')
  ec2.shutdownLooks = 1
  vi.useFakeTimers({ toFake: ['setTimeout'] })
  try {
    const releasing = machines.release(name)
    await vi.waitUntil(() => ec2.looksAtEnding > 0, { interval: 1 })
    expect(ec2.resources.some((each) => each.kind === 'instance' && each.state === 'shutting-down')).toBe(
      true,
    )
    await vi.advanceTimersByTimeAsync(10_000)
    await releasing
  } finally {
    vi.useRealTimers()
  }
  expect(ec2.resources.filter(({ kind }) => kind === 'instance').map((each) => each.state)).toEqual([
    'terminated',
  ])
})

test('a machine that EC2 never ends is not called released', async () => {
  const { ec2, machines } = setUp()
  ec2.launch(order())
  ec2.shutdownLooks = Number.POSITIVE_INFINITY
  vi.useFakeTimers({ toFake: ['setTimeout', 'Date'] })
  try {
    const released = machines.release(name).then(
      () => 'released',
      (error: Error) => error.name,
    )
    for (let second = 0; second < 20; second++) await vi.advanceTimersByTimeAsync(1_000)
    expect(await released).toBe('TimeoutError')
  } finally {
    vi.useRealTimers()
  }
})

test('of several machines of one name, what is paid for begins with the first’s launch', async () => {
  const { ec2, machines } = setUp()
  const [first, second] = [ec2.launch(order()), ec2.launch(order())]
  first.launchedAt = new Date('2026-11-23T12:00:00Z')
  second.launchedAt = new Date('2026-11-23T13:00:00Z')
  expect(await machines.release(name)).toEqual({ launchedAt: first.launchedAt })
})

test('a machine made only while its stack was destroyed is paid for too', async () => {
  const { ec2, machines, stacks } = setUp()
  stacks.destroy = async () => void ec2.launch(order())
  expect(await machines.release(name)).toEqual({ launchedAt: expect.any(Date) })
})

test('a fault of this worker is neither no capacity nor told as anything else', async () => {
  const { ec2, machines, world } = setUp()
  const full = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', syscall: 'write' })
  world.make = (wanted) => {
    const { id } = ec2.launch(wanted)
    ec2.end(id, {
      Code: 'Server.InsufficientInstanceCapacity',
      Message: 'Server.InsufficientInstanceCapacity: x',
    })
    throw new StackError('failed', 'up', wanted.name, 'api error InsufficientInstanceCapacity: x', full)
  }
  const failure = await machines.order(order(), forever()).catch((error) => error)
  expect(failure).toMatchObject({
    reason: 'internal',
    message: expect.stringContaining('the disk of this worker is full'),
  })
  expect(workerFault(failure)).toBe('the disk of this worker is full')
})

test.each([
  'Server.InsufficientInstanceCapacity: Insufficient capacity to satisfy instance request',
  'Client.InternalError: Client error on launch',
])(
  'an instance that EC2 accepted and never started costs nothing, and is no capacity: %s',
  async (reason) => {
    const { ec2, machines, world } = setUp()
    world.make = (wanted) => {
      const { id } = ec2.launch(wanted)
      ec2.end(id, { Code: 'late', Message: reason })
      throw new StackError(
        'failed',
        'up',
        wanted.name,
        "unexpected state 'terminated', wanted target 'running'",
      )
    }
    await expect(machines.order(order(), forever())).rejects.toMatchObject({ reason: 'no-capacity' })
    expect(ec2.calls.filter((call) => call === 'TerminateInstancesCommand')).toEqual([])
    expect(await machines.release(name)).toEqual({ launchedAt: undefined })
  },
)

describe('what a stack has left behind', () => {
  /** Runs it with a clock that goes as fast as it is waited for. */
  async function inHaste<T>(work: Promise<T>): Promise<T> {
    let settled = false
    const done = work.finally(() => {
      settled = true
    })
    done.catch(() => {})
    while (!settled) await vi.advanceTimersByTimeAsync(1_000)
    return done
  }
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout'] }))
  afterEach(() => void vi.useRealTimers())

  async function left() {
    const world = setUp()
    await world.machines.order(order(), forever())
    world.stacks.destroy = async () => void world.known.delete(name)
    return world
  }

  test('and is not there any more, when it is to be removed, is gone', async () => {
    const { ec2, machines } = await left()
    ec2.refusals.push(['DeleteSecurityGroup', 'InvalidGroup.NotFound'])
    // It goes on to look, and this EC2 has the group after all.
    await inHaste(machines.release(name))
    expect(await machines.existing()).toEqual([])
  })

  test('is asked to go again while something that ends holds on to it', async () => {
    const { ec2, machines } = await left()
    for (let time = 0; time < 4; time++) ec2.refusals.push(['DeleteSecurityGroup', 'DependencyViolation'])
    await inHaste(machines.release(name))
    expect(ec2.refusals).toEqual([])
    expect(await machines.existing()).toEqual([])
  })

  test('and EC2 goes on showing for a while after it was removed, is no leak', async () => {
    const { ec2, machines } = await left()
    ec2.removalLooks = 2
    await inHaste(machines.release(name))
    expect(await machines.existing()).toEqual([])
  })

  test('and never goes is told', async () => {
    const { ec2, machines } = await left()
    ec2.removalLooks = Number.POSITIVE_INFINITY
    await expect(inHaste(machines.release(name))).rejects.toThrow(
      /is not gone: .*key-pair \S+, security-group \S+ is left$/,
    )
  })
})

test('a machine whose tags show up late is paid for from its launch, and not ordered again', async () => {
  const { ec2, machines, world } = setUp()
  const launch = world.make
  const launchedAt = new Date('2026-11-25T12:00:00Z')
  world.make = (wanted) => {
    const outputs = launch(wanted)
    for (const each of ec2.running()) each.launchedAt = launchedAt
    return outputs
  }
  ec2.tagLooks = 2
  expect(await machines.order(order(), forever())).toMatchObject({ launchedAt })
  expect(ec2.running()).toHaveLength(1)
})

describe('a machine that is taken up before EC2 shows its tags', () => {
  test('is found by the id that was noted of it', async () => {
    const { ec2, machines, wanted } = setUp()
    const had = await machines.order(order(), forever())
    ec2.tagLooks = 2
    expect(await machines.state(name, had.instanceId)).toEqual({
      state: 'running',
      instanceId: had.instanceId,
    })
    expect(await machines.order(order({ instanceId: had.instanceId }), forever())).toEqual(had)
    expect(wanted).toHaveLength(1) // no second run of the program: settings that changed since would change the machine
  })

  test('and that ended meanwhile is lost, with EC2’s reason', async () => {
    const { ec2, machines } = setUp()
    const { instanceId } = await machines.order(order(), forever())
    ec2.end(instanceId, { Code: 'Server.SpotInstanceTermination', Message: 'taken back' })
    ec2.tagLooks = 2
    expect(await machines.state(name, instanceId)).toEqual({
      state: 'terminated',
      instanceId,
      reason: 'taken back',
    })
    await expect(machines.order(order({ instanceId }), forever())).rejects.toMatchObject({
      reason: 'machine-lost',
    })
  })

  test('is absent where EC2 knows no such id', async () => {
    const { machines } = setUp()
    expect(await machines.state(name, 'i-0')).toEqual({ state: 'absent' })
  })
})

test.each(['InvalidKeyPair.Duplicate', 'InvalidGroup.Duplicate'])(
  'what an engine made and never wrote down is in the way of no order: %s',
  async (code) => {
    const { ec2, machines, world } = setUp()
    const launch = world.make
    const instance = ec2.launch(order())
    ec2.resources.splice(ec2.resources.indexOf(instance), 1)
    world.make = (wanted) => {
      if (ec2.resources.some(({ kind }) => kind === 'key-pair'))
        throw new StackError('failed', 'up', wanted.name, `api error ${code}: The keypair already exists`)
      return launch(wanted)
    }
    await machines.order(order(), forever())
    expect(ec2.running()).toHaveLength(1)
    expect((await machines.existing()).map(({ kind }) => kind).sort()).toEqual([
      'instance',
      'key-pair',
      'security-group',
      'stack',
      'volume',
    ])
  },
)

test('of another deployment in the account it is, and is left alone', async () => {
  const { ec2, machines, world } = setUp('one')
  const tags = { Name: name, 'bellows:deployment': 'other', 'bellows:job': trainingId }
  ec2.add('key-pair', tags, 'us-east-1a')
  world.make = (wanted) => {
    const said = 'api error InvalidKeyPair.Duplicate: The keypair already exists'
    throw new StackError('failed', 'up', wanted.name, said)
  }
  await expect(machines.order(order(), forever())).rejects.toMatchObject({ reason: 'internal' })
  expect(ec2.resources).toHaveLength(1)
})

test('a stale look at a machine that was asked to end is no failure of its release', async () => {
  const { ec2, machines } = setUp()
  const instance = ec2.launch(order())
  ec2.shutdownLooks = 2
  vi.useFakeTimers({ toFake: ['setTimeout'] })
  try {
    const releasing = machines.release(name)
    await vi.waitUntil(() => ec2.looksAtEnding > 0, { interval: 1 })
    instance.state = 'pending'
    await vi.advanceTimersByTimeAsync(1_000)
    instance.state = 'shutting-down'
    await vi.advanceTimersByTimeAsync(60_000)
    await releasing
  } finally {
    vi.useRealTimers()
  }
  expect(instance.state).toBe('terminated')
})
