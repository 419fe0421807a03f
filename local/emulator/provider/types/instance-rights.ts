/**
 * The calls that the real provider makes for a machine, as the questions that AWS has about each. What it asks for
 * was recorded with Terraform's AWS provider 5.100 (test/fixtures/aws-calls.json).
 */
import { existing, made, passRole, plain, readProfile } from '../../ec2/caller.ts'
import type { Question } from '../../ec2/policy.ts'
import type { EmulatorState } from '../cloud.ts'
import { type Instance, tagsOf } from '../state.ts'
import { profileType } from './identity.ts'
import { keyPairType } from './key-pair.ts'
import { subnetType } from './network.ts'
import { groupType } from './security-group.ts'

type Wanted = {
  readonly ami: string
  readonly subnetId: string
  readonly vpcSecurityGroupIds: readonly string[]
  readonly keyName?: string | undefined
  readonly iamInstanceProfile?: string | undefined
  readonly instanceMarketOptions?: { readonly marketType: string } | undefined
  readonly tags?: Readonly<Record<string, string>> | undefined
  readonly volumeTags?: Readonly<Record<string, string>> | undefined
}

const order = 'RunInstances'

export function orderQuestions(wanted: Wanted, { state }: EmulatorState): readonly Question[] {
  const { ami, subnetId, keyName, vpcSecurityGroupIds: groups, iamInstanceProfile: profile } = wanted
  const tagged = (kind: string, type: string, id: string) =>
    existing(order, kind, id, tagsOf(state.resource(type, id)))
  return [
    plain('DescribeImages'),
    ...made(order, 'instance', '*', wanted.tags),
    ...made(order, 'volume', '*', wanted.volumeTags),
    ...made(order, 'network-interface', '*'),
    ...(wanted.instanceMarketOptions ? made(order, 'spot-instances-request', '*') : []),
    existing(order, 'image', ami),
    tagged('subnet', subnetType, subnetId),
    ...groups.map((group) => tagged('security-group', groupType, group)),
    ...(keyName ? [tagged('key-pair', keyPairType, keyName)] : []),
    ...(profile ? [passRole(String(state.resource(profileType, profile)?.inputs.role ?? profile))] : []),
  ]
}

export function demandChange({ id, tags }: Instance, { caller }: EmulatorState, doing: string): void {
  const operation = 'ModifyInstanceAttribute'
  caller.demand({ doing, operation }, [existing(operation, 'instance', id, tags)])
}

export function demandProfile(id: string, profile: string, { caller }: EmulatorState): void {
  const call = { doing: `reading EC2 Instance (${id})`, service: 'IAM', operation: 'GetInstanceProfile' }
  caller.demand(call, [readProfile(profile)])
}

/** In the provider's order: where the spot request can't be cancelled, the machine goes on. */
export function demandEnd({ id, tags, market }: Instance, { caller }: EmulatorState): void {
  const doing = `deleting EC2 Instance (${id})`
  const demand = (operation: string, kind: string, of: string, its = {}) =>
    caller.demand({ doing, operation }, [existing(operation, kind, of, its)])
  if (market === 'spot') {
    demand('CancelSpotInstanceRequests', 'spot-instances-request', id.replace('i-', 'sir-'))
  }
  demand('TerminateInstances', 'instance', id, tags)
}
