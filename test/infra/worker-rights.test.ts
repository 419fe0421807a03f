import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { type Right, workerPolicy, workerRights } from '../../infra/worker-rights.ts'
import { existing, made, passRole, plain } from '../../local/emulator/ec2/caller.ts'
import { decide, type Question } from '../../local/emulator/ec2/policy.ts'
import { settingsSchema } from '../../src/config.ts'

type Recorded = {
  readonly operation: string
  readonly parameters?: Readonly<Record<string, string>>
  /** What was made and given its tags by the call. */
  readonly tagged?: readonly string[]
}

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const { calls } = JSON.parse(read('test/fixtures/aws-calls.json')) as { readonly calls: readonly Recorded[] }

const scope = { deployment: 'test', regions: ['us-east-1'] }
const ours = { 'bellows:deployment': 'test' }
const theWorkers = { 'bellows:deployment': 'test-0a1b2c3d' }

/** Which kind of thing a parameter names, and whether it carries our tag by then. */
const parameters: Readonly<Record<string, readonly [kind: string, tags?: Record<string, string>]>> = {
  GroupId: ['security-group', theWorkers],
  SecurityGroupId: ['security-group', theWorkers],
  SecurityGroupRuleId: ['security-group-rule'],
  KeyName: ['key-pair', theWorkers],
  VpcId: ['vpc', ours],
  SubnetId: ['subnet', ours],
  InstanceId: ['instance', theWorkers],
  ImageId: ['image'],
  SpotInstanceRequestId: ['spot-instances-request'],
}

/** What AWS asks about a recorded call. */
function questionsOf({ operation, parameters: given = {}, tagged = [] }: Recorded): readonly Question[] {
  const named = Object.entries(given).flatMap(([name, id]) => {
    const [kind, tags] = parameters[name] ?? []
    return kind && !tagged.includes(kind) ? [existing(operation, kind, id, tags)] : []
  })
  return [
    ...(named.length + tagged.length === 0 ? [plain(operation)] : named),
    ...tagged.flatMap((kind) => made(operation, kind, '*', theWorkers)),
    ...(operation === 'RunInstances' ? made(operation, 'network-interface', '*') : []),
    ...(/^(Authorize|Revoke)/.test(operation) ? [existing(operation, 'security-group-rule', '*')] : []),
    ...(given.MarketType === 'spot' ? made(operation, 'spot-instances-request', '*') : []),
    ...(given.Name ? [passRole(given.Name)] : []),
  ]
}

const refusedBy = (rights: readonly Right[]) => {
  const policy = workerPolicy(scope, rights)
  return calls.filter((call) => questionsOf(call).some((each) => decide(policy, each) !== 'allowed'))
}

test('the policy allows every call that the real provider was seen to make for a machine', () => {
  expect(calls.length).toBeGreaterThan(20)
  expect(refusedBy(workerRights)).toEqual([])
})

/** Calls of our own, which no provider makes, and one that moto does not lead to. */
const beyond = ['ec2:DeleteVolume', 'ec2:GetConsoleOutput', 'iam:GetInstanceProfile']
const provider = workerRights.filter(({ action }) => !beyond.includes(action) && !action.startsWith('ecr:'))

test.each(provider.map((right) => [`${right.action} on ${right.on?.join(', ') ?? 'all'}`, right] as const))(
  '%s is needed by a call that was recorded',
  (_, right) => {
    const refused = refusedBy(workerRights.filter((each) => each !== right))
    expect(refused.map(({ operation }) => operation).join()).not.toBe('')
  },
)

test('a managed policy can hold it, with the longest name and several regions', () => {
  const regions = ['us-east-1', 'us-east-2', 'us-west-2', 'ap-northeast-1', 'ap-southeast-2', 'eu-central-1']
  const policy = JSON.stringify(workerPolicy({ deployment: 'd'.repeat(31), regions }))
  expect(policy.length).toBeLessThan(6144)
})

test('all but reads is held to the deployment, and all but IAM to the regions', () => {
  /** By the call's other resource, or because there is nothing of ours to be told apart by. */
  const open =
    /^(ec2:(Describe\*|RunInstances|CancelSpotInstanceRequests|\w+SecurityGroup(In|E)gress)|ecr:\w+)$/
  const withoutResource = ['ec2:Describe*', 'ecr:GetAuthorizationToken']
  for (const { Action, Resource, Condition } of workerPolicy(scope).Statement) {
    const actions = [Action].flat()
    const equal = Condition?.StringEquals ?? {}
    const text = JSON.stringify([Resource, Condition])
    if (!actions.every((action) => open.test(action))) expect(text, actions.join()).toMatch(/test/)
    if (actions.some((action) => !action.startsWith('iam:')))
      expect(equal['aws:RequestedRegion']).toEqual(['us-east-1'])
    if (actions.some((action) => !withoutResource.includes(action)))
      expect(Resource, actions.join()).not.toBe('*')
  }
})

test.each(['BatchGetImage', 'GetDownloadUrlForLayer'])('%s is for repositories in our regions', (name) => {
  const resource = 'arn:aws:ecr:us-east-1:111122223333:repository/bellows/trainer-sdxl'
  const asked = (region: string) =>
    decide(workerPolicy(scope), {
      action: `ecr:${name}`,
      resource,
      context: { 'aws:RequestedRegion': region },
    })
  expect(asked('us-east-1')).toBe('allowed')
  expect(asked('eu-central-1')).toBe('not allowed')
})

test('no image can be pushed, changed or listed', () => {
  const ecr = workerRights.filter(({ action }) => action.startsWith('ecr:')).map(({ action }) => action)
  expect(ecr).toEqual(['ecr:GetAuthorizationToken', 'ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'])
})

test('a role is passed to EC2 only, and only the machines’', () => {
  const policy = workerPolicy(scope)
  expect(decide(policy, passRole('bellows-test-machine'))).toBe('allowed')
  expect(decide(policy, passRole('administrator'))).toBe('not allowed')
  const elsewhere = { 'iam:PassedToService': 'lambda.amazonaws.com' }
  expect(decide(policy, { ...passRole('bellows-test-machine'), context: elsewhere })).toBe('not allowed')
})

test.each(['test', 'test-0a1b2c3d'])('what carries %s may be ended', (deployment) => {
  const question = existing('TerminateInstances', 'instance', 'i-1', { 'bellows:deployment': deployment })
  expect(decide(workerPolicy(scope), question)).toBe('allowed')
})

test.each(['other', 'tes', 'test-0a1b2c3', 'test-other-0a1b2c3d', 'my-test-0a1b2c3d'])(
  'what carries %s may not be ended',
  (deployment) => {
    const question = existing('TerminateInstances', 'instance', 'i-1', { 'bellows:deployment': deployment })
    expect(decide(workerPolicy(scope), question)).toBe('not allowed')
  },
)

test('what exists is given no tag, not even ours', () => {
  const [, tagging] = made('RunInstances', 'instance', 'i-1', ours)
  expect(tagging?.action).toBe('ec2:CreateTags')
  const policy = workerPolicy(scope)
  const { 'ec2:CreateAction': _, ...later } = tagging?.context ?? {}
  expect(decide(policy, tagging as Question)).toBe('allowed')
  expect(decide(policy, { ...(tagging as Question), context: later })).toBe('not allowed')
})

test('a base and its workers have the same deployment unless both are told another', () => {
  const [, ofBase] = /bellows:deployment:\n +type: string\n +default: (\S+)/.exec(read('Pulumi.yaml')) ?? []
  expect(ofBase).toBe(settingsSchema.shape.BELLOWS_DEPLOYMENT.parse(undefined))
})
