/** What must hold for all that `infra/` declares, whatever the resources: each promise with what breaks it. */
import type { Policy, Statement } from '../../infra/worker-rights.ts'
import type { Declared } from './declared.ts'

export type Property = {
  readonly promise: string
  /** A sentence for each resource that breaks it. */
  readonly broken: (resources: readonly Declared[]) => readonly string[]
}

export const properties: readonly Property[] = [
  {
    promise: 'everything in AWS that can carry tags carries the deployment’s, disks too',
    broken: each(({ type, inputs }) => {
      if (!type.startsWith('aws:') || takesNoTags.has(type)) return []
      const tagged = [inputs.tags, ...(type === instance ? [inputs.volumeTags] : [])]
      return tagged.every(isOurs) ? [] : ['has no tag bellows:deployment']
    }),
  },
  {
    promise: 'nothing is open inwards to everybody, and nothing but SSH to anybody',
    broken: each(({ type, inputs }) => {
      const within = [inputs.ingress ?? []].flat() as readonly unknown[]
      if (within.length > 0) return ['lets in by a rule within a group']
      if (type !== ingress) return []
      const isSsh = inputs.ipProtocol === 'tcp' && inputs.fromPort === 22 && inputs.toPort === 22
      const { cidrIpv4 } = inputs
      const isNarrow = typeof cidrIpv4 === 'string' && Number(cidrIpv4.split('/')[1]) >= 8
      return [
        ...(isNarrow ? [] : [`lets in ${inputs.cidrIpv6 ?? cidrIpv4 ?? 'the members of another group'}`]),
        ...(isSsh ? [] : ['lets in to more than SSH']),
      ]
    }),
  },
  {
    promise: 'no policy allows all actions or resources without a condition, nor everybody',
    broken: each(({ inputs }) =>
      [inputs.policy, inputs.assumeRolePolicy]
        .filter((text): text is string => typeof text === 'string')
        .flatMap((text) => (JSON.parse(text) as Policy).Statement.filter(isTooWide))
        .map((statement) => `allows ${JSON.stringify(statement)}`),
    ),
  },
  {
    promise: 'disks are encrypted, and end with their machine',
    broken: ofInstances(({ rootBlockDevice: disk, ebsBlockDevices = [] }) =>
      [disk, ...(ebsBlockDevices as readonly unknown[])].every((one) => {
        const { encrypted, deleteOnTermination } = (one ?? {}) as Record<string, unknown>
        return encrypted === true && deleteOnTermination === true
      }),
    ),
  },
  {
    promise: 'a machine’s metadata want a token (IMDSv2), and containers are a hop too far',
    broken: ofInstances(({ metadataOptions }) => {
      const { httpTokens, httpPutResponseHopLimit } = (metadataOptions ?? {}) as Record<string, unknown>
      return httpTokens === 'required' && httpPutResponseHopLimit === 1
    }),
  },
  {
    promise: 'a machine that switches itself off is terminated',
    broken: ofInstances(({ instanceInitiatedShutdownBehavior: behaviour }) => behaviour === 'terminate'),
  },
  {
    promise: 'buckets are protected from destroy',
    broken: each(({ type, isProtected }) => (type === bucket && !isProtected ? ['is not protected'] : [])),
  },
]

const instance = 'aws:ec2/instance:Instance'
const ingress = 'aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule'
const bucket = 'cloudflare:index/r2Bucket:R2Bucket'

/** A route, an association and an inline policy are parts of what is tagged. */
const takesNoTags = new Set([
  'aws:ec2/route:Route',
  'aws:ec2/routeTableAssociation:RouteTableAssociation',
  'aws:iam/rolePolicy:RolePolicy',
  'aws:iam/rolePolicyAttachment:RolePolicyAttachment',
])

function each(broken: (resource: Declared) => readonly string[]) {
  return (resources: readonly Declared[]) =>
    resources.flatMap((resource) =>
      broken(resource).map((what) => `${resource.type} ${resource.name} ${what}`),
    )
}

function ofInstances(holds: (inputs: Declared['inputs']) => boolean) {
  return each(({ type, inputs }) => (type !== instance || holds(inputs) ? [] : ['breaks it']))
}

const isOurs = (tags: unknown): boolean =>
  typeof (tags as Record<string, unknown> | undefined)?.['bellows:deployment'] === 'string'

function isTooWide(statement: Statement & { readonly Principal?: unknown }): boolean {
  if (statement.Effect !== 'Allow' || statement.Condition) return false
  const lists = [statement.Action, statement.Resource, statement.Principal].flat()
  const values = lists.flatMap((value) =>
    value && typeof value === 'object' ? Object.values(value).flat() : [value],
  )
  return values.some((value) => typeof value === 'string' && /^(\*|\w+:\*)$/.test(value))
}
