import { expect, test } from 'vitest'
import { heldToRights } from '../../tools/infra/held-to-rights.ts'
import type { RecordedCall } from '../../tools/infra/recorder.ts'

const call = (action: string, parameters: Readonly<Record<string, string>> = {}): RecordedCall => ({
  action: `ec2:${action}`,
  parameters: new URLSearchParams(parameters),
})
const tags = (...kinds: readonly string[]) =>
  Object.fromEntries(
    kinds.flatMap((kind, index) => [
      [`TagSpecification.${index + 1}.ResourceType`, kind],
      [`TagSpecification.${index + 1}.Tag.1.Key`, 'Name'],
      [`TagSpecification.${index + 1}.Tag.2.Key`, 'bellows:deployment'],
    ]),
  )

/** As Terraform's provider 5.100 was seen to make them. */
const life = [
  call('ImportKeyPair', tags('key-pair')),
  call('CreateSecurityGroup', tags('security-group')),
  call('RevokeSecurityGroupEgress'),
  call('AuthorizeSecurityGroupIngress', tags('security-group-rule')),
  call('RunInstances', tags('instance', 'volume')),
  call('DescribeInstances'),
  call('ModifyInstanceAttribute'),
  call('TerminateInstances'),
  call('CancelSpotInstanceRequests'),
  call('RevokeSecurityGroupIngress'),
  call('DeleteSecurityGroup'),
  call('DeleteKeyPair'),
]
const without = (action: string) => life.filter((each) => each.action !== `ec2:${action}`)

test('the calls of a machine’s life are what the rights allow', () => {
  expect(heldToRights(life)).toMatchObject({ result: 'passed', detail: '12 different calls' })
})

test.each([
  ['a call that no right allows', [...life, call('StopInstances')], 'not allowed: ec2:StopInstances'],
  [
    'a right that is never used',
    without('ModifyInstanceAttribute'),
    'never called: ec2:ModifyInstanceAttribute',
  ],
  [
    'a disk without the tag',
    [...without('RunInstances'), call('RunInstances', tags('instance'))],
    'without the tag that is demanded: ec2:RunInstances of a volume',
  ],
  [
    'tags of others alone',
    [
      ...without('ImportKeyPair'),
      call('ImportKeyPair', {
        'TagSpecification.1.ResourceType': 'key-pair',
        'TagSpecification.1.Tag.1.Key': 'Name',
      }),
    ],
    'without the tag that is demanded: ec2:ImportKeyPair of a key-pair',
  ],
  [
    'tags by a call of their own',
    [...life, call('CreateTags')],
    'tags are given by a call of their own, which is not allowed',
  ],
])('is told: %s', (_, calls, detail) => {
  expect(heldToRights(calls)).toMatchObject({ result: 'failed', detail })
})
