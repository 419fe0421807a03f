/**
 * Where machines live: a network of their own with one public subnet a zone, because a spot offer is good
 * in one zone only. Nothing is let in here; each machine brings a group that admits its worker.
 */
import * as aws from '@pulumi/aws'
import * as pulumi from '@pulumi/pulumi'

type Tags = Readonly<Record<string, string>>
type NetworkOptions = { readonly deployment: string; readonly cidrBlock: string; readonly tags: Tags }

export async function machineNetwork({ deployment, cidrBlock, tags }: NetworkOptions) {
  const named = (name: string) => ({ ...tags, Name: `bellows-${deployment}-${name}` })
  const region = await aws.getRegion({})
  const zones = await aws.getAvailabilityZones({
    state: 'available',
    filters: [{ name: 'opt-in-status', values: ['opt-in-not-required'] }],
  })

  const vpc = new aws.ec2.Vpc('machines', {
    cidrBlock,
    enableDnsHostnames: true,
    enableDnsSupport: true,
    tags: named('machines'),
  })
  const gateway = new aws.ec2.InternetGateway('machines', { vpcId: vpc.id, tags: named('machines') })
  const routes = new aws.ec2.RouteTable('public', { vpcId: vpc.id, tags: named('public') })
  new aws.ec2.Route('internet', {
    routeTableId: routes.id,
    destinationCidrBlock: '0.0.0.0/0',
    gatewayId: gateway.id,
  })

  const subnets: Record<string, pulumi.Output<string>> = {}
  for (const zone of zones.names) {
    const subnet = new aws.ec2.Subnet(zone, {
      vpcId: vpc.id,
      availabilityZone: zone,
      cidrBlock: subnetOf(cidrBlock, zone),
      mapPublicIpOnLaunch: true,
      tags: named(zone),
    })
    new aws.ec2.RouteTableAssociation(zone, { subnetId: subnet.id, routeTableId: routes.id })
    subnets[zone] = subnet.id
  }

  const group = new aws.ec2.SecurityGroup('machines', {
    name: `bellows-${deployment}-machines`,
    description: 'Bellows machines: out to anywhere, in from nowhere',
    vpcId: vpc.id,
    tags: named('machines'),
  })
  new aws.vpc.SecurityGroupEgressRule('anywhere', {
    securityGroupId: group.id,
    description: 'Model store and image registry',
    ipProtocol: '-1',
    cidrIpv4: '0.0.0.0/0',
    tags: named('anywhere'),
  })

  return { region: region.region, vpcId: vpc.id, subnets: pulumi.output(subnets), securityGroupId: group.id }
}

/** A /20 of the network's /16 by the zone's letter, so that a new zone moves no existing subnet. */
export function subnetOf(network: string, zone: string): string {
  const [, start] = /^(\d+\.\d+)\.0\.0\/16$/.exec(network) ?? []
  if (start === undefined)
    throw new Error(`bellows:network must be a /16 such as 10.77.0.0/16, not ${network}`)
  const index = zone.charCodeAt(zone.length - 1) - 'a'.charCodeAt(0)
  if (index < 0 || index > 15) throw new Error(`No subnet is planned for the zone ${zone}`)
  return `${start}.${index * 16}.0/20`
}

/**
 * AWS's image with the driver, Docker and the container toolkit. AWS moves the parameter on with each
 * release; the worker keeps the id that the last `pulumi up` saw.
 */
export async function machineImage(): Promise<string> {
  const name = '/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id'
  return (await aws.ssm.getParameter({ name })).value
}
