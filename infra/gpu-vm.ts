/**
 * One attempt's machine: its own key pair, a group that lets the workers in by SSH and nothing else in, and the
 * instance. The worker runs this inline, one stack a machine; destroying the stack leaves nothing.
 *
 * The instance ends by itself too: a shutdown from inside terminates it, and a spot instance that is
 * reclaimed is never started again.
 */
import * as aws from '@pulumi/aws'
import * as pulumi from '@pulumi/pulumi'
import { z } from 'zod'
import { workerNetworks } from './worker-networks.ts'
import { deploymentTag } from './worker-rights.ts'

export const gpuMachineInputs = z.strictObject({
  deployment: z.string().min(1),
  /** Stack and machine name, unique in the account: `bellows-<training id>-<attempt>`. */
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,126}$/),
  trainingId: z.string().min(1),
  attempt: z.int().positive(),
  /** Such as `g6.xlarge`. */
  type: z.string().regex(/^[a-z0-9-]+\.[a-z0-9-]+$/),
  market: z.enum(['spot', 'on-demand']),
  zone: z.string().min(1),
  vpcId: z.string().startsWith('vpc-'),
  subnetId: z.string().startsWith('subnet-'),
  /** The base's group, which lets machines out. */
  securityGroupId: z.string().startsWith('sg-'),
  instanceProfile: z.string().min(1),
  imageId: z.string().startsWith('ami-'),
  diskGb: z.int().min(8).max(16_384),
  /** OpenSSH's one-line form. */
  publicKey: z.string().startsWith('ssh-'),
  /** All workers, not only the one that orders the machine: any of them may take the training up and must reach it. */
  workerNetworks,
  /** As cloud-init.ts makes it. It holds the host's private key: a secret in the stack's state. */
  userData: z.string().startsWith('Content-Type: multipart/mixed;'),
})

export type GpuMachineInputs = z.infer<typeof gpuMachineInputs>

export type GpuMachineOutputs = {
  readonly instanceId: pulumi.Output<string>
  readonly host: pulumi.Output<string>
  readonly zone: pulumi.Output<string>
}

/** Body of the inline program; what it returns are the stack's outputs. Throws on inputs that don't fit. */
export function gpuMachine(given: GpuMachineInputs): GpuMachineOutputs {
  const inputs = gpuMachineInputs.parse(given)
  const { name } = inputs
  const tags = {
    Name: name,
    [deploymentTag]: inputs.deployment,
    'bellows:job': inputs.trainingId,
    'bellows:attempt': String(inputs.attempt),
  }

  const label = labelOf(inputs)
  const keyPair = new aws.ec2.KeyPair('machine', { keyName: label, publicKey: inputs.publicKey, tags })
  const group = new aws.ec2.SecurityGroup('machine', {
    name: label,
    description: 'SSH from the workers of this deployment',
    vpcId: inputs.vpcId,
    tags,
  })
  const ssh = inputs.workerNetworks.map(
    (cidrIpv4) =>
      new aws.vpc.SecurityGroupIngressRule(`ssh-${cidrIpv4.replace('/', '-')}`, {
        securityGroupId: group.id,
        ipProtocol: 'tcp',
        fromPort: 22,
        toPort: 22,
        cidrIpv4,
        tags,
      }),
  )

  const instance = new aws.ec2.Instance(
    'machine',
    {
      ami: inputs.imageId,
      instanceType: inputs.type,
      availabilityZone: inputs.zone,
      subnetId: inputs.subnetId,
      associatePublicIpAddress: true,
      vpcSecurityGroupIds: [inputs.securityGroupId, group.id],
      keyName: keyPair.keyName,
      iamInstanceProfile: inputs.instanceProfile,
      ...(inputs.market === 'spot' && { instanceMarketOptions: spot }),
      instanceInitiatedShutdownBehavior: 'terminate',
      metadataOptions: { httpEndpoint: 'enabled', httpTokens: 'required', httpPutResponseHopLimit: 1 },
      rootBlockDevice: {
        volumeType: 'gp3',
        volumeSize: inputs.diskGb,
        encrypted: true,
        deleteOnTermination: true,
      },
      // In the order itself: a disk's own tags would be given after it, by a call that could tag anything.
      volumeTags: tags,
      userData: pulumi.secret(inputs.userData),
      tags,
    },
    { dependsOn: ssh, customTimeouts: { create: '10m', delete: '15m' } },
  )
  return { instanceId: instance.id, host: instance.publicIp, zone: instance.availabilityZone }
}

/** Names that an account, or a network, has once: two deployments may hold copies of one training, such as for a rehearsal. */
function labelOf({ deployment, name }: GpuMachineInputs): string {
  return deployment === 'bellows' ? name : `${deployment}-${name}`
}

/** Never persistent: such a request would start another machine after each reclaim. */
const spot = {
  marketType: 'spot',
  spotOptions: { spotInstanceType: 'one-time', instanceInterruptionBehavior: 'terminate' },
} as const
