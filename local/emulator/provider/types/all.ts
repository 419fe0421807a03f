/** Every type of resource that the emulator knows, by its token. */
import type { ResourceType } from '../resource.ts'
import { instanceProfile, policy, policyAttachment, role, rolePolicy } from './identity.ts'
import { instance } from './instance.ts'
import { keyPair } from './key-pair.ts'
import { internetGateway, route, routeTable, routeTableAssociation, subnet, vpc } from './network.ts'
import { r2Bucket, r2BucketLifecycle, r2CustomDomain } from './r2.ts'
import { egressRule, ingressRule, securityGroup } from './security-group.ts'

const all = [
  ...[vpc, subnet, internetGateway, routeTable, route, routeTableAssociation],
  ...[securityGroup, ingressRule, egressRule, keyPair, instance],
  ...[role, rolePolicy, policy, policyAttachment, instanceProfile],
  ...[r2Bucket, r2BucketLifecycle, r2CustomDomain],
]

export const resourceTypes: ReadonlyMap<string, ResourceType> = new Map(all.map((each) => [each.type, each]))
