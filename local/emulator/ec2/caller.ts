/**
 * Who asks the emulator for something, and whether they may. The base is made by an administrator; all else is
 * asked by the worker, whose role has the policies that `infra/` has attached to it.
 */
import { type Policy, workerRoleName } from '../../../infra/worker-rights.ts'
import type { State } from '../provider/state.ts'
import { ApiError, type Call } from './api-error.ts'
import { accountId, localRegion } from './catalog.ts'
import { decide, pattern, type Question } from './policy.ts'

/** The base's project, as Pulumi.yaml names it; a machine's stack is in another one. */
const baseProject = 'bellows'

export type Tags = Readonly<Record<string, string>>

export type Caller = {
  /** Throws AWS's refusal unless all of it is allowed. */
  readonly demand: (call: Call, questions: readonly Question[]) => void
}

export const administrator: Caller = { demand() {} }

/** Of whom Pulumi's engine asks: `urn:pulumi:stack::project::type::name`. */
export const callerOf = (urn: string, state: State): Caller =>
  urn.split('::')[1] === baseProject ? administrator : worker(state)

/** A worker without a role, as before there is a base, is an administrator. */
export function worker(state: State): Caller {
  const role = state
    .resources(policyAttachmentType)
    .map(({ inputs }) => String(inputs.role))
    .find((name) => workerRole.test(name))
  if (role === undefined) return administrator
  const policies = policiesOf(role, state)
  return {
    demand(call, questions) {
      for (const question of questions) {
        const answers = policies.map((policy) => decide(policy, question))
        const isDenied = answers.includes('denied')
        if (isDenied || !answers.includes('allowed')) throw refusal(call, role, question, isDenied)
      }
    },
  }
}

export const policyType = 'aws:iam/policy:Policy'
export const policyAttachmentType = 'aws:iam/rolePolicyAttachment:RolePolicyAttachment'

function policiesOf(role: string, state: State): readonly Policy[] {
  const attached = state.resources(policyAttachmentType).filter(({ inputs }) => inputs.role === role)
  return attached.flatMap(({ inputs }) => {
    const policy = state.resource(policyType, String(inputs.policyArn))
    return policy ? [JSON.parse(String(policy.inputs.policy)) as Policy] : []
  })
}

const workerRole = pattern(workerRoleName('*'))

function refusal(call: Call, role: string, { action, resource }: Question, isDenied: boolean): ApiError {
  const user = `arn:aws:sts::${accountId}:assumed-role/${role}/i-0123456789abcdef0`
  const on = resource === '*' ? '' : ` on resource: ${resource}`
  const why = isDenied
    ? 'with an explicit deny in an identity-based policy'
    : `because no identity-based policy allows the ${action} action`
  const sentence = `User: ${user} is not authorized to perform: ${action}${on} ${why}`
  if (call.service === 'IAM') return new ApiError(call, 'AccessDenied', sentence, 403)
  const ofEc2 = `You are not authorized to perform this operation. ${sentence}`
  return new ApiError(call, 'UnauthorizedOperation', ofEc2, 403)
}

export const ec2Arn = (kind: string, id: string): string =>
  `arn:aws:ec2:${localRegion}:${kind === 'image' ? '' : accountId}:${kind}/${id}`

const region = { 'aws:RequestedRegion': localRegion }

const prefixed = (prefix: string, tags: Tags): Record<string, string> =>
  Object.fromEntries(Object.entries(tags).map(([key, value]) => [`aws:${prefix}/${key}`, value]))

/** A read, or whatever else knows no resources. */
export const plain = (operation: string): Question => ({
  action: `ec2:${operation}`,
  resource: '*',
  context: region,
})

/** Something that exists, with its tags. AWS asks so too where nothing has that id, and finds no tag. */
export const existing = (operation: string, kind: string, id: string, tags: Tags = {}): Question => ({
  action: `ec2:${operation}`,
  resource: ec2Arn(kind, id),
  context: { ...region, ...prefixed('ResourceTag', tags) },
})

/** Something that the call makes; where it is given tags at once, that is asked for too. */
export function made(operation: string, kind: string, id: string, tags: Tags = {}): readonly Question[] {
  const resource = ec2Arn(kind, id)
  const context = { ...region, ...prefixed('RequestTag', tags) }
  const tagging = { ...context, 'ec2:CreateAction': operation }
  return [
    { action: `ec2:${operation}`, resource, context },
    ...(Object.keys(tags).length > 0 ? [{ action: 'ec2:CreateTags', resource, context: tagging }] : []),
  ]
}

/** To give a machine the role of a profile of that name. */
export const passRole = (role: string): Question => ({
  action: 'iam:PassRole',
  resource: `arn:aws:iam::${accountId}:role/${role}`,
  context: { 'iam:PassedToService': 'ec2.amazonaws.com' },
})

export const readProfile = (name: string): Question => ({
  action: 'iam:GetInstanceProfile',
  resource: `arn:aws:iam::${accountId}:instance-profile/${name}`,
  context: {},
})
