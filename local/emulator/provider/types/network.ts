/** VPC, subnets, internet gateway and routes. They exist on paper: the machines share one bridge. */
import { z } from 'zod'
import { ApiError } from '../../ec2/api-error.ts'
import { accountId, zones } from '../../ec2/catalog.ts'
import type { EmulatorState } from '../cloud.ts'
import { kept } from '../resource.ts'
import { cidr, tags } from '../schema.ts'
import { arnOf, newId } from './identifier.ts'

export const vpcType = 'aws:ec2/vpc:Vpc'
export const subnetType = 'aws:ec2/subnet:Subnet'
const gatewayType = 'aws:ec2/internetGateway:InternetGateway'
const tableType = 'aws:ec2/routeTable:RouteTable'

export const vpc = kept({
  type: vpcType,
  inputs: z.strictObject({
    cidrBlock: cidr,
    enableDnsHostnames: z.boolean().default(false),
    enableDnsSupport: z.boolean().default(true),
    instanceTenancy: z.enum(['default', 'dedicated']).default('default'),
    tags,
  }),
  changeable: ['tags', 'enableDnsHostnames', 'enableDnsSupport'],
  make() {
    const id = newId('vpc')
    return { id, outputs: { arn: arnOf('ec2', `vpc/${id}`), ownerId: accountId } }
  },
  unmake({ id }, { state }) {
    const call = { doing: `deleting EC2 VPC (${id})`, operation: 'DeleteVpc' }
    const children = [subnetType, gatewayType, tableType, 'aws:ec2/securityGroup:SecurityGroup']
    const used = children.some((type) => state.resources(type).some((each) => each.inputs.vpcId === id))
    if (used) throw dependent(call, 'vpc', id)
  },
})

export const subnet = kept({
  type: subnetType,
  inputs: z.strictObject({
    vpcId: z.string(),
    availabilityZone: z.string(),
    cidrBlock: cidr,
    mapPublicIpOnLaunch: z.boolean().default(false),
    tags,
  }),
  changeable: ['tags', 'mapPublicIpOnLaunch'],
  make({ vpcId, availabilityZone, cidrBlock }, { state }) {
    const call = { doing: 'creating EC2 Subnet', operation: 'CreateSubnet' }
    requireVpc(vpcId, { state }, call)
    if (!zones.includes(availabilityZone)) {
      const known = zones.join(', ')
      throw new ApiError(
        call,
        'InvalidParameterValue',
        `Value (${availabilityZone}) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: ${known}.`,
      )
    }
    const taken = state
      .resources(subnetType)
      .some(({ inputs }) => inputs.vpcId === vpcId && inputs.cidrBlock === cidrBlock)
    if (taken) {
      throw new ApiError(
        call,
        'InvalidSubnet.Conflict',
        `The CIDR '${cidrBlock}' conflicts with another subnet`,
      )
    }
    const id = newId('subnet')
    return { id, outputs: { arn: arnOf('ec2', `subnet/${id}`), ownerId: accountId } }
  },
  unmake({ id }, { instances }) {
    const used = instances.list().some((each) => each.subnetId === id && each.state !== 'terminated')
    const call = { doing: `deleting EC2 Subnet (${id})`, operation: 'DeleteSubnet' }
    if (used)
      throw new ApiError(
        call,
        'DependencyViolation',
        `The subnet '${id}' has dependencies and cannot be deleted.`,
      )
  },
})

export const internetGateway = kept({
  type: gatewayType,
  inputs: z.strictObject({ vpcId: z.string(), tags }),
  make({ vpcId }, cloud) {
    requireVpc(vpcId, cloud, { doing: 'creating EC2 Internet Gateway', operation: 'AttachInternetGateway' })
    const id = newId('igw')
    return { id, outputs: { arn: arnOf('ec2', `internet-gateway/${id}`), ownerId: accountId } }
  },
})

export const routeTable = kept({
  type: tableType,
  inputs: z.strictObject({ vpcId: z.string(), tags }),
  make({ vpcId }, cloud) {
    requireVpc(vpcId, cloud, { doing: 'creating EC2 Route Table', operation: 'CreateRouteTable' })
    const id = newId('rtb')
    return { id, outputs: { arn: arnOf('ec2', `route-table/${id}`), ownerId: accountId, routes: [] } }
  },
})

export const route = kept({
  type: 'aws:ec2/route:Route',
  inputs: z.strictObject({ routeTableId: z.string(), destinationCidrBlock: cidr, gatewayId: z.string() }),
  changeable: ['gatewayId'],
  make({ routeTableId, destinationCidrBlock, gatewayId }, { state }) {
    const call = { doing: 'creating EC2 Route', operation: 'CreateRoute' }
    if (!state.resource(tableType, routeTableId))
      throw missing(call, 'RouteTable', 'routeTable', routeTableId)
    if (!state.resource(gatewayType, gatewayId)) throw missing(call, 'InternetGateway', 'gateway', gatewayId)
    return {
      id: `r-${routeTableId}-${destinationCidrBlock}`,
      outputs: { state: 'active', origin: 'CreateRoute' },
    }
  },
})

export const routeTableAssociation = kept({
  type: 'aws:ec2/routeTableAssociation:RouteTableAssociation',
  inputs: z.strictObject({ routeTableId: z.string(), subnetId: z.string() }),
  changeable: ['routeTableId'],
  make({ routeTableId, subnetId }, { state }) {
    const call = { doing: 'creating EC2 Route Table Association', operation: 'AssociateRouteTable' }
    if (!state.resource(tableType, routeTableId))
      throw missing(call, 'RouteTable', 'routeTable', routeTableId)
    if (!state.resource(subnetType, subnetId)) throw missing(call, 'Subnet', 'subnet', subnetId)
    return { id: newId('rtbassoc'), outputs: {} }
  },
})

type Call = { readonly doing: string; readonly operation: string }

export function requireVpc(id: string, { state }: Pick<EmulatorState, 'state'>, call: Call): void {
  if (!state.resource(vpcType, id)) {
    throw new ApiError(call, 'InvalidVpcID.NotFound', `The vpc ID '${id}' does not exist`)
  }
}

const missing = (call: Call, kind: string, noun: string, id: string): ApiError =>
  new ApiError(call, `Invalid${kind}ID.NotFound`, `The ${noun} ID '${id}' does not exist`)

const dependent = (call: Call, noun: string, id: string): ApiError =>
  new ApiError(call, 'DependencyViolation', `The ${noun} '${id}' has dependencies and cannot be deleted.`)
