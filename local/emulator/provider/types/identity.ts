/** IAM's roles and instance profiles, as far as machines need them: they exist, and can be named. */
import { z } from 'zod'
import { ApiError } from '../../ec2/api-error.ts'
import { policyAttachmentType, policyType } from '../../ec2/caller.ts'
import { kept } from '../resource.ts'
import { json, tags } from '../schema.ts'
import { arnOf } from './identifier.ts'

const roleType = 'aws:iam/role:Role'
export const profileType = 'aws:iam/instanceProfile:InstanceProfile'
const rolePolicyType = 'aws:iam/rolePolicy:RolePolicy'

const name = z.string().regex(/^[\w+=,.@-]{1,64}$/)

export const role = kept({
  type: roleType,
  inputs: z.strictObject({
    name,
    description: z.string().max(1000).optional(),
    assumeRolePolicy: json,
    tags,
  }),
  changeable: ['tags', 'description', 'assumeRolePolicy'],
  make({ name }, { state }) {
    const call = { doing: `creating IAM Role (${name})`, service: 'IAM', operation: 'CreateRole' }
    if (state.resource(roleType, name)) {
      throw new ApiError(call, 'EntityAlreadyExists', `Role with name ${name} already exists.`, 409)
    }
    return { id: name, outputs: { arn: arnOf('iam', `role/${name}`), createDate: new Date().toISOString() } }
  },
  unmake({ id }, { state }) {
    const call = { doing: `deleting IAM Role (${id})`, service: 'IAM', operation: 'DeleteRole' }
    if (
      [rolePolicyType, policyAttachmentType]
        .flatMap((type) => state.resources(type))
        .some(({ inputs }) => inputs.role === id)
    ) {
      throw new ApiError(call, 'DeleteConflict', 'Cannot delete entity, must delete policies first.', 409)
    }
    if (state.resources(profileType).some(({ inputs }) => inputs.role === id)) {
      const detail = 'Cannot delete entity, must remove roles from instance profile first.'
      throw new ApiError(call, 'DeleteConflict', detail, 409)
    }
  },
})

export const rolePolicy = kept({
  type: rolePolicyType,
  inputs: z.strictObject({ name: name.max(128), role: z.string(), policy: json }),
  changeable: ['policy'],
  make({ name, role }, { state }) {
    const call = {
      doing: `putting IAM Role (${role}) Policy (${name})`,
      service: 'IAM',
      operation: 'PutRolePolicy',
    }
    if (!state.resource(roleType, role)) throw noRole(call, role)
    return { id: `${role}:${name}`, outputs: {} }
  },
})

/** Without the blanks, as IAM counts. */
const policyLimit = 6144

export const policy = kept({
  type: policyType,
  inputs: z.strictObject({
    name: name.max(128),
    description: z.string().max(1000).optional(),
    policy: json,
    tags,
  }),
  changeable: ['tags', 'policy'],
  make({ name, policy }, { state }) {
    const call = { doing: `creating IAM Policy (${name})`, service: 'IAM', operation: 'CreatePolicy' }
    const arn = arnOf('iam', `policy/${name}`)
    if (state.resource(policyType, arn)) {
      throw new ApiError(call, 'EntityAlreadyExists', `A policy called ${name} already exists.`, 409)
    }
    if (policy.replaceAll(/\s/g, '').length > policyLimit) {
      throw new ApiError(call, 'LimitExceeded', `Cannot exceed quota for PolicySize: ${policyLimit}`, 409)
    }
    return { id: arn, outputs: { arn, path: '/' } }
  },
  unmake({ id }, { state }) {
    const call = { doing: `deleting IAM Policy (${id})`, service: 'IAM', operation: 'DeletePolicy' }
    if (state.resources(policyAttachmentType).some(({ inputs }) => inputs.policyArn === id)) {
      const detail = 'Cannot delete a policy attached to entities.'
      throw new ApiError(call, 'DeleteConflict', detail, 409)
    }
  },
})

export const policyAttachment = kept({
  type: policyAttachmentType,
  inputs: z.strictObject({ role: z.string(), policyArn: z.string() }),
  changeable: [],
  make({ role, policyArn }, { state }) {
    const call = {
      doing: `attaching IAM Policy (${policyArn}) to IAM Role (${role})`,
      service: 'IAM',
      operation: 'AttachRolePolicy',
    }
    if (!state.resource(roleType, role)) throw noRole(call, role)
    if (!state.resource(policyType, policyArn)) {
      throw new ApiError(call, 'NoSuchEntity', `Policy ${policyArn} does not exist.`, 404)
    }
    return { id: `${role}/${policyArn}`, outputs: {} }
  },
})

export const instanceProfile = kept({
  type: profileType,
  inputs: z.strictObject({ name: name.max(128), role: z.string(), tags }),
  changeable: ['tags', 'role'],
  make({ name, role }, { state }) {
    const call = {
      doing: `creating IAM Instance Profile (${name})`,
      service: 'IAM',
      operation: 'CreateInstanceProfile',
    }
    if (state.resource(profileType, name)) {
      throw new ApiError(call, 'EntityAlreadyExists', `Instance Profile ${name} already exists.`, 409)
    }
    if (!state.resource(roleType, role)) throw noRole(call, role)
    return { id: name, outputs: { arn: arnOf('iam', `instance-profile/${name}`), path: '/' } }
  },
})

const noRole = (call: { doing: string; service: string; operation: string }, role: string): ApiError =>
  new ApiError(call, 'NoSuchEntity', `The role with name ${role} cannot be found.`, 404)
