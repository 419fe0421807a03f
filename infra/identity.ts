/**
 * The machines' identity, and it may do nothing. An instance without one can be given one by an account's
 * defaults (Systems Manager's host management does that); with this, whatever a training finds at the
 * metadata address opens no door.
 */
import * as aws from '@pulumi/aws'

type IdentityOptions = { readonly deployment: string; readonly tags: Readonly<Record<string, string>> }

export function powerlessProfile({ deployment, tags }: IdentityOptions): aws.iam.InstanceProfile {
  const name = `bellows-${deployment}-machine`
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

const policy = (statement: object) => JSON.stringify({ Version: '2012-10-17', Statement: [statement] })
