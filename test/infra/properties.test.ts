/** What must hold for all that `infra/` declares; and that the properties notice where it does not. */
import { beforeAll, expect, test } from 'vitest'
import { type Declared, declaredBase } from '../../tools/infra/declared.ts'
import { properties } from '../../tools/infra/properties.ts'
import { declaredMachine } from '../../tools/infra/sample-machine.ts'

let all: readonly Declared[]

beforeAll(async () => {
  all = [...(await declaredBase()), ...(await declaredMachine())]
})

test('base and machine are all there', () => {
  expect(all.length).toBeGreaterThan(30)
  expect(all.map(({ type }) => type)).toEqual(
    expect.arrayContaining(['aws:ec2/vpc:Vpc', 'aws:ec2/instance:Instance', 'aws:iam/policy:Policy']),
  )
})

test.each(properties.map(({ promise, broken }) => [promise, broken] as const))('%s', (_, broken) => {
  expect(broken(all)).toEqual([])
})

const changed = (type: string, change: (inputs: Record<string, unknown>) => object) =>
  all.map((each) =>
    each.type.endsWith(`:${type}`)
      ? { ...each, inputs: { ...each.inputs, ...change({ ...each.inputs }) } }
      : each,
  )

const policy = (statement: object) => JSON.stringify({ Version: '2012-10-17', Statement: [statement] })

/** Resources in which one thing is wrong, by the property that must notice it, by its place in the list. */
const wrong: readonly (readonly [property: number, what: string, resources: () => readonly Declared[]])[] = [
  [0, 'a subnet without a tag', () => changed('Subnet', () => ({ tags: undefined }))],
  [0, 'a disk without a tag', () => changed('Instance', () => ({ volumeTags: {} }))],
  [
    1,
    'SSH for the whole Internet',
    () => changed('SecurityGroupIngressRule', () => ({ cidrIpv4: '0.0.0.0/0' })),
  ],
  [
    1,
    'SSH for half of the world',
    () => changed('SecurityGroupIngressRule', () => ({ cidrIpv4: '128.0.0.0/1' })),
  ],
  [
    1,
    'SSH for all of IPv6',
    () => changed('SecurityGroupIngressRule', () => ({ cidrIpv4: undefined, cidrIpv6: '::/0' })),
  ],
  [1, 'another port', () => changed('SecurityGroupIngressRule', () => ({ toPort: 80 }))],
  [1, 'a rule within a group', () => changed('SecurityGroup', () => ({ ingress: [{ fromPort: 0 }] }))],
  [
    2,
    'all actions',
    () => changed('Policy', () => ({ policy: policy({ Effect: 'Allow', Action: '*', Resource: 'a' }) })),
  ],
  [
    2,
    'all of EC2',
    () =>
      changed('Policy', () => ({ policy: policy({ Effect: 'Allow', Action: ['ec2:*'], Resource: 'a' }) })),
  ],
  [
    2,
    'all resources',
    () => changed('Policy', () => ({ policy: policy({ Effect: 'Allow', Action: 'a:B', Resource: '*' }) })),
  ],
  [
    2,
    'a role for any principal',
    () =>
      changed('Role', () => ({
        assumeRolePolicy: policy({ Effect: 'Allow', Principal: { AWS: '*' }, Action: 'sts:AssumeRole' }),
      })),
  ],
  [3, 'a plain disk', () => changed('Instance', () => ({ rootBlockDevice: { deleteOnTermination: true } }))],
  [3, 'a disk that stays', () => changed('Instance', () => ({ rootBlockDevice: { encrypted: true } }))],
  [
    4,
    'metadata without a token',
    () =>
      changed('Instance', () => ({
        metadataOptions: { httpTokens: 'optional', httpPutResponseHopLimit: 1 },
      })),
  ],
  [
    4,
    'metadata for containers',
    () =>
      changed('Instance', () => ({
        metadataOptions: { httpTokens: 'required', httpPutResponseHopLimit: 2 },
      })),
  ],
  [
    5,
    'a machine that is only stopped',
    () => changed('Instance', () => ({ instanceInitiatedShutdownBehavior: 'stop' })),
  ],
  [6, 'a bucket that may go', () => all.map((each) => ({ ...each, isProtected: false }))],
]

test.each(wrong)('property %i notices %s', (property, _, resources) => {
  expect(properties[property]?.broken(resources())).not.toEqual([])
  expect(properties.filter(({ broken }) => broken(resources()).length > 0)).toEqual([properties[property]])
})
