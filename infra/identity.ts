/**
 * Two identities. The worker's may do what worker-rights.ts lists, with what carries its deployment's tag.
 *
 * The machines' may do nothing. An instance without one can be given one by an account's
 * defaults (Systems Manager's host management does that); with this, whatever a training finds at the
 * metadata address opens no door.
 */
import * as aws from '@pulumi/aws'
import type * as pulumi from '@pulumi/pulumi'
import { machineRoleName, workerPolicy, workerRoleName } from './worker-rights.ts'

type IdentityOptions = { readonly deployment: string; readonly tags: Readonly<Record<string, string>> }

export function powerlessProfile({ deployment, tags }: IdentityOptions): aws.iam.InstanceProfile {
  const name = machineRoleName(deployment)
  const role = new aws.iam.Role('machine', {
    name,
    description: 'Bellows machines: denied everything',
    assumeRolePolicy: policy({
      Effect: 'Allow',
      Principal: { Service: 'ec2.amazonaws.com' },
      Action: 'sts:AssumeRole',
    }),
    tags,
  })
  new aws.iam.RolePolicy('deny-everything', {
    name: 'deny-everything',
    role: role.name,
    policy: policy({ Effect: 'Deny', Action: '*', Resource: '*' }),
  })
  return new aws.iam.InstanceProfile('machine', { name, role: role.name, tags })
}

type WorkerOptions = IdentityOptions & {
  readonly region: string
  /** Who may take the role: a service such as `ec2.amazonaws.com`, or the ARN of a role, a user or an account. */
  readonly principal: string
}

/** The worker's role with its rights, for the computer that it runs on; the policy can be given to others too. */
export function workerIdentity({ deployment, region, principal, tags }: WorkerOptions): {
  readonly policyArn: pulumi.Output<string>
  readonly profile: pulumi.Output<string>
} {
  const name = workerRoleName(deployment)
  const rights = new aws.iam.Policy('worker', {
    name,
    description: 'Bellows worker: machines that carry the tag of the deployment',
    policy: JSON.stringify(workerPolicy({ deployment, regions: [region] })),
    tags,
  })
  const role = new aws.iam.Role('worker', {
    name,
    description: 'Bellows workers',
    assumeRolePolicy: policy({
      Effect: 'Allow',
      Principal: principal.startsWith('arn:') ? { AWS: principal } : { Service: principal },
      Action: 'sts:AssumeRole',
    }),
    tags,
  })
  new aws.iam.RolePolicyAttachment('worker', { role: role.name, policyArn: rights.arn })
  const profile = new aws.iam.InstanceProfile('worker', { name, role: role.name, tags })
  return { policyArn: rights.arn, profile: profile.name }
}

const policy = (statement: object) => JSON.stringify({ Version: '2012-10-17', Statement: [statement] })
