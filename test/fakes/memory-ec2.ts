/**
 * EC2 in memory, behind the real client: a middleware answers in place of the network, so that paginators,
 * waiters and error classes are the SDK's own. What `infra/gpu-vm.ts` makes is made by `launch`.
 */
import { EC2Client } from '@aws-sdk/client-ec2'
import type { MachineOrder } from '../../src/cloud/machines.ts'

export type Resource = {
  readonly kind: 'instance' | 'volume' | 'key-pair' | 'security-group'
  readonly id: string
  readonly tags: Readonly<Record<string, string>>
  readonly zone: string
  launchedAt: Date
  state: string
  reason?: { Code: string; Message: string }
  /** Removed, and still shown at so many looks. */
  lingers?: number
}

type Input = {
  readonly Filters?: readonly { Name: string; Values: readonly string[] }[]
  readonly InstanceId?: string
  readonly InstanceIds?: readonly string[]
  readonly VolumeId?: string
  readonly KeyPairId?: string
  readonly GroupId?: string
  readonly InstanceTypes?: readonly string[]
  readonly ImageIds?: readonly string[]
}

export class RefusedByAws extends Error {
  readonly $metadata = {}

  constructor(code: string) {
    super('refused on purpose')
    this.name = code
  }
}

export function memoryEc2(deployment: string) {
  const resources: Resource[] = []
  const calls: string[] = []
  /** Each refuses one call of that name. */
  const refusals: [command: string, code: string][] = []
  /** Looks at an instance that was told to end, until it has. */
  const shutdown = { looks: 0, seen: 0 }
  /** Looks that something is still shown at after it was removed; and that an instance's tags are not yet shown at. */
  const late = { removal: 0, tags: 0 }
  const image = { state: 'available', diskGb: 30 }

  const add = (kind: Resource['kind'], tags: Record<string, string>, zone: string, state = 'available') => {
    const id = `${kind === 'instance' ? 'i' : kind}-${String(resources.length).padStart(17, '0')}`
    const resource: Resource = { kind, id, tags, zone, launchedAt: new Date(), state }
    resources.push(resource)
    return resource
  }
  const tagsOf = ({ name, trainingId, attempt }: MachineOrder) => ({
    Name: name,
    'bellows:deployment': deployment,
    'bellows:job': trainingId,
    'bellows:attempt': String(attempt),
  })
  const ofKind = (kind: Resource['kind'], { Filters = [], InstanceIds }: Input) =>
    resources.filter(
      (each) =>
        each.kind === kind &&
        (each.lingers === undefined || each.lingers-- > 0) &&
        (InstanceIds?.includes(each.id) ?? true) &&
        Filters.every(({ Name, Values }) =>
          Name === 'instance-id'
            ? Values.includes(each.id)
            : Name === 'tag-key'
              ? Values.some((key) => key in each.tags)
              : Values.includes(each.tags[Name.replace(/^tag:/, '')] ?? ''),
        ),
    )
  const remove = (id: string | undefined) => {
    const index = resources.findIndex((each) => each.id === id)
    const found = resources[index]
    if (found && late.removal > 0) found.lingers ??= late.removal
    else if (found) resources.splice(index, 1)
  }
  const end = (id: string, reason: Resource['reason']) => {
    const instance = resources.find((each) => each.id === id)
    if (!instance || instance.state === 'terminated') return
    instance.state = 'terminated'
    if (reason) instance.reason = reason
    remove(resources.find(({ kind, tags }) => kind === 'volume' && tags.Name === instance.tags.Name)?.id)
  }
  const told = (resource: Resource) => ({
    Tags: Object.entries(resource.tags).map(([Key, Value]) => ({ Key, Value })),
    CreateTime: resource.launchedAt,
  })

  const describe = (input: Input) => ({
    Reservations: ofKind('instance', input).map((each) => ({
      Instances: [
        {
          ...told(each),
          InstanceId: each.id,
          State: { Name: each.state },
          StateReason: each.reason,
          PublicIpAddress: '203.0.113.7',
          Placement: { AvailabilityZone: each.zone },
          LaunchTime: each.launchedAt,
        },
      ],
    })),
  })

  const answers: Record<string, (input: Input) => object> = {
    DescribeInstancesCommand: (input) => {
      for (const each of ofKind('instance', input)) {
        if (each.state !== 'shutting-down') continue
        if (++shutdown.seen > shutdown.looks) end(each.id, each.reason)
      }
      const byTag = input.Filters?.some(({ Name }) => Name.startsWith('tag'))
      return byTag && late.tags-- > 0 ? { Reservations: [] } : describe(input)
    },
    GetConsoleOutputCommand: ({ InstanceId }) => ({
      InstanceId,
      Output: Buffer.from('\u001b[1mcloud-init\u001b[0m has begun the first boot\r\n').toString('base64'),
    }),
    DescribeVolumesCommand: (input) => ({
      Volumes: ofKind('volume', input).map((each) => ({ ...told(each), VolumeId: each.id })),
    }),
    DescribeKeyPairsCommand: (input) => ({
      KeyPairs: ofKind('key-pair', input).map((each) => ({ ...told(each), KeyPairId: each.id })),
    }),
    DescribeSecurityGroupsCommand: (input) => ({
      SecurityGroups: ofKind('security-group', input).map((each) => ({ ...told(each), GroupId: each.id })),
    }),
    TerminateInstancesCommand: ({ InstanceIds = [] }) => {
      const reason = { Code: 'Client.UserInitiatedShutdown', Message: 'Client.UserInitiatedShutdown: asked' }
      for (const each of resources.filter(({ id }) => InstanceIds.includes(id))) {
        if (shutdown.looks === 0) end(each.id, reason)
        else if (each.state !== 'terminated') Object.assign(each, { state: 'shutting-down', reason })
      }
      return {}
    },
    DeleteVolumeCommand: ({ VolumeId }) => ({ removed: remove(VolumeId) }),
    DeleteKeyPairCommand: ({ KeyPairId }) => ({ removed: remove(KeyPairId) }),
    DeleteSecurityGroupCommand: ({ GroupId }) => ({ removed: remove(GroupId) }),
    DescribeImagesCommand: ({ ImageIds = [] }) => ({
      Images: ImageIds.map((ImageId) => ({
        ImageId,
        State: image.state,
        RootDeviceName: '/dev/sda1',
        BlockDeviceMappings: [
          { DeviceName: '/dev/sdb', VirtualName: 'ephemeral0' },
          { DeviceName: '/dev/sda1', Ebs: { SnapshotId: 'snap-1', VolumeSize: image.diskGb } },
        ],
      })),
    }),
    DescribeInstanceTypeOfferingsCommand: () => ({
      InstanceTypeOfferings: [
        { InstanceType: 'g6.xlarge', Location: 'us-east-1a' },
        { InstanceType: 'g5.xlarge', Location: 'us-east-1z' },
      ],
    }),
    DescribeSpotPriceHistoryCommand: ({ InstanceTypes = [] }) => ({
      SpotPriceHistory: [
        {
          InstanceType: 'g6.xlarge',
          AvailabilityZone: 'us-east-1a',
          SpotPrice: '0.41',
          Timestamp: new Date(2),
        },
        {
          InstanceType: 'g6.xlarge',
          AvailabilityZone: 'us-east-1a',
          SpotPrice: '0.99',
          Timestamp: new Date(1),
        },
        {
          InstanceType: 'g6.xlarge',
          AvailabilityZone: 'us-east-1b',
          SpotPrice: '0.35',
          Timestamp: new Date(1),
        },
      ].filter(({ InstanceType }) => InstanceTypes.includes(InstanceType)),
    }),
  }

  const client = new EC2Client({
    region: 'us-east-1',
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
  })
  client.middlewareStack.add(
    (_next, { commandName = '' }) =>
      async ({ input }) => {
        calls.push(commandName)
        const refused = refusals.findIndex(([command]) => `${command}Command` === commandName)
        if (refused >= 0) throw new RefusedByAws(refusals.splice(refused, 1)[0]?.[1] ?? '')
        const answer = answers[commandName]
        if (!answer) throw new Error(`This EC2 knows no ${commandName}`)
        return { output: { ...answer(input as Input), $metadata: {} }, response: {} } as never
      },
    { step: 'initialize', priority: 'high' },
  )

  return {
    client,
    /** The only one, whatever its id. */
    image,
    /** So many looks does an instance take from the request to end it until it is seen terminated. */
    set shutdownLooks(looks: number) {
      shutdown.looks = looks
    },
    /** So many looks does something that was removed go on being shown for. */
    set removalLooks(looks: number) {
      late.removal = looks
    },
    /** So many looks for instances by their tags find none. */
    set tagLooks(looks: number) {
      late.tags = looks
    },
    get looksAtEnding() {
      return shutdown.seen
    },
    resources,
    calls,
    refusals,
    end,
    add,
    /** The parts of a machine, in the order in which the engine makes them. */
    launch(order: MachineOrder): Resource {
      const { zone } = order.offer
      add('key-pair', tagsOf(order), zone)
      add('security-group', tagsOf(order), zone)
      const instance = add('instance', tagsOf(order), zone, 'running')
      add('volume', tagsOf(order), zone)
      return instance
    },
    running: () => resources.filter(({ kind, state }) => kind === 'instance' && state === 'running'),
  }
}
