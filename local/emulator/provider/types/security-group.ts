/** Security groups and their rules. What they let in is enforced by the machines' own firewalls. */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { ApiError } from '../../ec2/api-error.ts'
import { existing, made, type Tags } from '../../ec2/caller.ts'
import { accountId } from '../../ec2/catalog.ts'
import type { IngressRule } from '../../machines/machine.ts'
import type { EmulatorState } from '../cloud.ts'
import { kept } from '../resource.ts'
import { cidr, port, tags } from '../schema.ts'
import { type State, tagsOf } from '../state.ts'
import { arnOf, newId } from './identifier.ts'
import { requireVpc, vpcType } from './network.ts'

export const groupType = 'aws:ec2/securityGroup:SecurityGroup'
const ingressType = 'aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule'
const egressType = 'aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule'

/** What EC2 takes in names and descriptions of groups. */
const plainText = z.string().regex(/^[0-9A-Za-z_ .:/()#,@[\]+=&;{}!$*-]{1,255}$/)

export const securityGroup = kept({
  type: groupType,
  inputs: z.strictObject({
    name: plainText.refine((name) => !name.startsWith('sg-'), "cannot begin with 'sg-'"),
    description: plainText.default('Managed by Pulumi'),
    vpcId: z.string(),
    tags,
  }),
  make({ name, vpcId, tags }, { state, caller }) {
    const call = { doing: `creating Security Group (${name})`, operation: 'CreateSecurityGroup' }
    caller.demand(call, [
      ...made('CreateSecurityGroup', 'security-group', '*', tags),
      existing('CreateSecurityGroup', 'vpc', vpcId, tagsOf(state.resource(vpcType, vpcId))),
    ])
    requireVpc(vpcId, { state }, call)
    const taken = state
      .resources(groupType)
      .some(({ inputs }) => inputs.vpcId === vpcId && inputs.name === name)
    if (taken) {
      throw new ApiError(
        call,
        'InvalidGroup.Duplicate',
        `The security group '${name}' already exists for VPC '${vpcId}'`,
      )
    }
    const id = newId('sg')
    const arn = arnOf('ec2', `security-group/${id}`)
    // AWS lets a new group out to anywhere, and the provider takes that rule away.
    const revoking = { doing: `revoking default egress of ${id}`, operation: 'RevokeSecurityGroupEgress' }
    caller.demand(revoking, ruleQuestions('RevokeSecurityGroupEgress', id, tags))
    return { id, outputs: { arn, ownerId: accountId, ingress: [], egress: [], revokeRulesOnDelete: false } }
  },
  async unmake({ id, inputs }, cloud) {
    const call = { doing: `deleting Security Group (${id})`, operation: 'DeleteSecurityGroup' }
    cloud.caller.demand(call, [existing('DeleteSecurityGroup', 'security-group', id, inputs.tags)])
    await untilFree(id, cloud)
    for (const type of [ingressType, egressType]) {
      for (const rule of cloud.state.resources(type)) {
        if (rule.inputs.securityGroupId === id) cloud.state.removeResource(type, rule.id)
      }
    }
  },
})

const rule = z
  .strictObject({
    securityGroupId: z.string(),
    description: plainText.optional(),
    ipProtocol: z.enum(['tcp', 'udp', 'icmp', '-1']),
    fromPort: port.optional(),
    toPort: port.optional(),
    cidrIpv4: cidr,
    tags,
  })
  .refine(({ ipProtocol, fromPort, toPort }) => ipProtocol === '-1' || (fromPort ?? 0) <= (toPort ?? -2), {
    message: 'fromPort and toPort are required for this protocol, the lower one first',
    path: ['fromPort'],
  })
const changeable = ['tags', 'description', 'ipProtocol', 'fromPort', 'toPort', 'cidrIpv4']

export const ingressRule = kept({
  type: ingressType,
  inputs: rule,
  changeable,
  make: (inputs, cloud) => makeRule(inputs, cloud, 'Ingress', ingressType),
  unmake: (rule, cloud) => unmakeRule(rule, cloud, 'Ingress'),
  settle: ({ securityGroupId }, cloud) => cloud.instances.applyGroup(securityGroupId),
})

export const egressRule = kept({
  type: egressType,
  inputs: rule,
  changeable,
  make: (inputs, cloud) => makeRule(inputs, cloud, 'Egress', egressType),
  unmake: (rule, cloud) => unmakeRule(rule, cloud, 'Egress'),
})

type Rule = z.infer<typeof rule>

function makeRule(inputs: Rule, { state, caller }: EmulatorState, way: string, type: string) {
  const { securityGroupId: group, ipProtocol, fromPort, toPort, cidrIpv4 } = inputs
  const call = {
    doing: `creating VPC Security Group ${way} Rule`,
    operation: `AuthorizeSecurityGroup${way}`,
  }
  const { operation } = call
  caller.demand(call, [
    ...ruleQuestions(operation, group, tagsOf(state.resource(groupType, group))),
    ...made(operation, 'security-group-rule', '*', inputs.tags),
  ])
  if (!state.resource(groupType, group)) {
    throw new ApiError(call, 'InvalidGroup.NotFound', `The security group '${group}' does not exist`)
  }
  const same = state
    .resources(type)
    .some(
      ({ inputs: other }) =>
        other.securityGroupId === group &&
        other.ipProtocol === ipProtocol &&
        other.fromPort === fromPort &&
        other.toPort === toPort &&
        other.cidrIpv4 === cidrIpv4,
    )
  if (same) {
    throw new ApiError(
      call,
      'InvalidPermission.Duplicate',
      `the specified rule "peer: ${cidrIpv4}, ${ipProtocol}, from port: ${fromPort}, to port: ${toPort}, ALLOW" already exists`,
    )
  }
  const id = newId('sgr')
  return { id, outputs: { arn: arnOf('ec2', `security-group-rule/${id}`), securityGroupRuleId: id } }
}

function unmakeRule(
  { id, inputs }: { id: string; inputs: Rule },
  { state, caller }: EmulatorState,
  way: string,
) {
  const operation = `RevokeSecurityGroup${way}`
  const call = { doing: `deleting VPC Security Group Rule (${id})`, operation }
  const group = inputs.securityGroupId
  caller.demand(call, ruleQuestions(operation, group, tagsOf(state.resource(groupType, group))))
}

/** About the group and, without a tag, about the rule. */
const ruleQuestions = (operation: string, group: string, tags: Tags | undefined) => [
  existing(operation, 'security-group', group, tags),
  existing(operation, 'security-group-rule', '*'),
]

export function ingressOf(state: State, groupIds: readonly string[]): readonly IngressRule[] {
  return state
    .resources(ingressType)
    .map(({ inputs }) => rule.parse(inputs))
    .filter(({ securityGroupId }) => groupIds.includes(securityGroupId))
    .map(({ ipProtocol, fromPort = 0, toPort = 0, cidrIpv4 }) => ({
      protocol: ipProtocol,
      fromPort,
      toPort,
      cidr: cidrIpv4,
    }))
}

/** EC2 refuses while something holds on to a group; the provider asks again for as long as it is waited for. */
async function untilFree(id: string, cloud: EmulatorState): Promise<void> {
  for (;;) {
    try {
      return refuseIfUsed(id, cloud)
    } catch (error) {
      if (!cloud.retries) throw error
      await sleep(200, undefined, cloud.retries.gone && { signal: cloud.retries.gone })
    }
  }
}

function refuseIfUsed(id: string, { instances, faults }: EmulatorState): void {
  const used = instances.list().some((each) => each.groupIds.includes(id) && each.state !== 'terminated')
  if (!used && !faults.matchFault('held', () => true)) return
  const call = { doing: `deleting Security Group (${id})`, operation: 'DeleteSecurityGroup' }
  throw new ApiError(call, 'DependencyViolation', `resource ${id} has a dependent object`)
}
