/**
 * What a worker may do in AWS: each right with its reason, and the policy that is made from them. `infra/` gives
 * it to the worker's role, `npm run bellows -- policy` prints it, and the emulator refuses by it.
 *
 * A condition that AWS does not know for an action, or a tag that the call does not carry, refuses silently. So each row
 * names the resources that AWS asks about in that call, and how each is limited:
 * https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
 * https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html
 */

type Limit =
  /** In our regions only. */
  | 'region'
  /** What the call makes must be given the deployment's tag by the same call. */
  | 'made-ours'
  /** What there is must carry the deployment's tag. */
  | 'ours'
  /** Only with a call that makes something, never to what exists: the tag is what all else goes by. */
  | 'with-creation'
  /** The machines' role and no other, to EC2 only. */
  | 'machine-role'
  /** IAM has no regions. */
  | 'machine-profile'
  /** Repositories of images, in our regions; they are not ours to tag. */
  | 'repository'

export type Right = {
  readonly action: string
  /** Kinds of EC2's resources, as its ARNs name them; all of them where absent. */
  readonly on?: readonly string[]
  readonly limit: Limit
  readonly why: string
}

export const workerRights: readonly Right[] = [
  // No list of names: which things the provider reads differs from one of its releases to the next.
  { action: 'ec2:Describe*', limit: 'region', why: 'offers, the reaper, and what the provider reads' },
  // What a console has written may be private to others.
  { action: 'ec2:GetConsoleOutput', on: ['instance'], limit: 'ours', why: 'why a machine never answered' },

  { action: 'ec2:ImportKeyPair', on: ['key-pair'], limit: 'made-ours', why: 'the machine’s login' },
  { action: 'ec2:CreateSecurityGroup', on: ['security-group'], limit: 'made-ours', why: 'its own group' },
  { action: 'ec2:CreateSecurityGroup', on: ['vpc'], limit: 'ours', why: 'in the base’s network' },
  { action: 'ec2:RunInstances', on: ['instance', 'volume'], limit: 'made-ours', why: 'the machine' },
  {
    action: 'ec2:RunInstances',
    on: ['key-pair', 'security-group', 'subnet'],
    limit: 'ours',
    why: 'with our key and groups, in our network',
  },
  {
    // The first two belong to AWS; the others get no tag in the call.
    action: 'ec2:RunInstances',
    on: ['image', 'snapshot', 'network-interface', 'spot-instances-request'],
    limit: 'region',
    why: 'what else an order needs',
  },
  {
    action: 'ec2:CreateTags',
    on: ['instance', 'key-pair', 'security-group', 'security-group-rule', 'volume'],
    limit: 'with-creation',
    why: 'the reaper finds things by their tags',
  },
  { action: 'iam:PassRole', limit: 'machine-role', why: 'the machine’s identity, which may do nothing' },
  {
    action: 'iam:GetInstanceProfile',
    limit: 'machine-profile',
    why: 'the provider reads it with the machine',
  },

  {
    action: 'ec2:AuthorizeSecurityGroupIngress',
    on: ['security-group'],
    limit: 'ours',
    why: 'SSH from the workers',
  },
  {
    action: 'ec2:RevokeSecurityGroupIngress',
    on: ['security-group'],
    limit: 'ours',
    why: 'the rule goes before its group',
  },
  {
    action: 'ec2:RevokeSecurityGroupEgress',
    on: ['security-group'],
    limit: 'ours',
    why: 'the provider takes AWS’s own rule out of a new group',
  },
  // The group decides, which is asked about in the same call; AWS's own rule carries no tag.
  ...['AuthorizeSecurityGroupIngress', 'RevokeSecurityGroupIngress', 'RevokeSecurityGroupEgress'].map(
    (name): Right => ({
      action: `ec2:${name}`,
      on: ['security-group-rule'],
      limit: 'region',
      why: 'the rule of a group that is ours',
    }),
  ),
  {
    action: 'ec2:ModifyInstanceAttribute',
    on: ['instance'],
    limit: 'ours',
    why: 'the provider says again after an order what a shutdown does, and lifts a protection before the end',
  },
  { action: 'ec2:TerminateInstances', on: ['instance'], limit: 'ours', why: 'the end of every machine' },
  {
    // Such a request carries no tag, and its end ends no machine.
    action: 'ec2:CancelSpotInstanceRequests',
    on: ['spot-instances-request'],
    limit: 'region',
    why: 'the provider cancels the request behind a spot machine',
  },
  { action: 'ec2:DeleteVolume', on: ['volume'], limit: 'ours', why: 'a disk that outlived its machine' },
  { action: 'ec2:DeleteKeyPair', on: ['key-pair'], limit: 'ours', why: 'a machine leaves nothing' },
  {
    action: 'ec2:DeleteSecurityGroup',
    on: ['security-group'],
    limit: 'ours',
    why: 'a machine leaves nothing',
  },

  // Of no resource: the token may do what its holder may, which is the next two.
  { action: 'ecr:GetAuthorizationToken', limit: 'region', why: 'a machine pulls a private trainer image' },
  { action: 'ecr:BatchGetImage', limit: 'repository', why: 'the image’s manifest, with that token' },
  { action: 'ecr:GetDownloadUrlForLayer', limit: 'repository', why: 'its layers' },
]

/** The calls that make things which are tagged in the same breath. */
const creations = [
  'AuthorizeSecurityGroupIngress',
  'CreateSecurityGroup',
  'ImportKeyPair',
  'RunInstances',
] as const

export const deploymentTag = 'bellows:deployment'

export const machineRoleName = (deployment: string): string => `bellows-${deployment}-machine`

export const workerRoleName = (deployment: string): string => `bellows-${deployment}-worker`

type StringConditions = Readonly<Record<string, string | readonly string[]>>

export type Statement = {
  readonly Sid?: string
  readonly Effect: 'Allow' | 'Deny'
  readonly Action: string | readonly string[]
  readonly Resource: string | readonly string[]
  readonly Condition?: Readonly<Partial<Record<'StringEquals' | 'StringLike', StringConditions>>>
}

export type Policy = { readonly Version: '2012-10-17'; readonly Statement: readonly Statement[] }

export type PolicyScope = {
  readonly deployment: string
  /** Where machines are rented. */
  readonly regions: readonly string[]
}

/**
 * The base tags what it makes with the deployment's name; a worker with its identity, which is the name, a hyphen and eight
 * random digits (src/trainings/deployment.ts), or the plain name where it was there before identities were.
 *
 * Rights with the same resources and limit share a statement, since a managed policy takes 6,144 characters.
 */
export function workerPolicy(scope: PolicyScope, rights: readonly Right[] = workerRights): Policy {
  const groups = Map.groupBy(rights, ({ limit, on = [] }) => `${limit} ${on.join(' ')}`)
  return {
    Version: '2012-10-17',
    Statement: [...groups.values()].map((group) => statementOf(group, scope)),
  }
}

function statementOf(group: readonly Right[], { deployment, regions }: PolicyScope): Statement {
  const [{ limit, on } = { limit: 'region' as Limit }] = group
  const Action = [...new Set(group.map(({ action }) => action))]
  const region = { 'aws:RequestedRegion': regions }
  const name = machineRoleName(deployment)
  const inRegions = (StringLike?: StringConditions, StringEquals?: StringConditions): Statement => ({
    Effect: 'Allow',
    Action,
    Resource: on?.map(arnPattern) ?? '*',
    Condition: { StringEquals: { ...region, ...StringEquals }, ...(StringLike && { StringLike }) },
  })
  const ours = [deployment, `${deployment}-????????`]
  switch (limit) {
    case 'region':
      return inRegions()
    case 'made-ours':
      return inRegions({ [`aws:RequestTag/${deploymentTag}`]: ours })
    case 'ours':
      return inRegions({ [`aws:ResourceTag/${deploymentTag}`]: ours })
    case 'with-creation':
      return inRegions({ [`aws:RequestTag/${deploymentTag}`]: ours }, { 'ec2:CreateAction': creations })
    case 'repository':
      return { ...inRegions(), Resource: 'arn:aws:ecr:*:*:repository/*' }
    case 'machine-role':
      return {
        Effect: 'Allow',
        Action,
        Resource: `arn:aws:iam::*:role/${name}`,
        Condition: { StringEquals: { 'iam:PassedToService': 'ec2.amazonaws.com' } },
      }
    case 'machine-profile':
      return { Effect: 'Allow', Action, Resource: `arn:aws:iam::*:instance-profile/${name}` }
  }
}

/** Images and their snapshots belong to no account in ARNs. */
const arnPattern = (kind: string): string =>
  `arn:aws:ec2:*:${kind === 'image' || kind === 'snapshot' ? '' : '*'}:${kind}/*`
