/** The emulator for AWS and Cloudflare with a store, the real engine and the real base, for tests. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DescribeInstancesCommand, EC2Client, type Instance } from '@aws-sdk/client-ec2'
import { S3Client } from '@aws-sdk/client-s3'
import ssh2 from 'ssh2'
import { firstBootUserData } from '../../infra/cloud-init.ts'
import type { GpuMachineInputs } from '../../infra/gpu-vm.ts'
import { createBaseStack, localPassphrase, stateUrl } from '../../local/emulator/base.ts'
import { removeNetwork } from '../../local/emulator/machines/network.ts'
import { removeMachines } from '../../local/emulator/machines/remove.ts'
import { startObjectStore } from '../../local/emulator/object-store.ts'
import { type LocalProviderOptions, startLocalProvider } from '../../local/emulator/provider/provider.ts'
import { type MachineKeys, machineKeys } from '../../src/cloud/machine-keys.ts'
import { pulumiStacks } from '../../src/cloud/pulumi/stacks.ts'
import type { BaseOutputs } from '../../src/operations/stack-settings.ts'
import { Secret } from '../../src/secret.ts'
import { devEnvironment } from '../support/dev-environment.ts'

export const machineImage = devEnvironment.images.machine

export async function startEmulator(deployment: string) {
  const directory = await mkdtemp(path.join(tmpdir(), 'bellows-emulator-'))
  const store = await startObjectStore(devEnvironment.versitygw, path.join(directory, 'objects'))
  const s3 = new S3Client({
    endpoint: store.endpoint,
    region: store.region,
    forcePathStyle: true,
    credentials: { accessKeyId: store.accessKeyId, secretAccessKey: store.secretAccessKey.reveal() },
  })
  const options: LocalProviderOptions = {
    deployment,
    stateDirectory: path.join(directory, 'provider'),
    s3,
    machineImage,
  }
  let provider = await startLocalProvider(options)
  const ports = {
    port: provider.port,
    ec2Port: Number(new URL(provider.ec2Url).port),
    controlPort: Number(new URL(provider.controlUrl).port),
  }
  const ec2 = new EC2Client({
    endpoint: provider.ec2Url,
    region: 'us-east-1',
    maxAttempts: 1,
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  })
  await mkdir(path.join(directory, 'state'))
  const base = await createBaseStack({
    devEnvironment,
    directory,
    deployment,
    providerPort: provider.port,
  })
  const stacks = pulumiStacks({
    pulumi: devEnvironment.pulumi,
    pulumiHome: path.join(directory, 'home'),
    backendUrl: stateUrl(directory),
    passphrase: new Secret(localPassphrase),
    project: 'bellows-machines',
    environment: { PULUMI_DEBUG_PROVIDERS: `aws:${provider.port},cloudflare:${provider.port}` },
  })

  const describe = async (id: string): Promise<Instance | undefined> => {
    const { Reservations } = await ec2.send(new DescribeInstancesCommand({ InstanceIds: [id] }))
    return Reservations?.[0]?.Instances?.[0]
  }
  return {
    store,
    s3,
    ec2,
    base,
    stacks,
    get provider() {
      return provider
    },
    describe,
    up: (inputs: GpuMachineInputs) =>
      stacks.up(inputs.name, { inputs, config: { 'aws:region': 'us-east-1', 'aws:maxRetries': '3' } }),
    /** As after a crash: another process over the same state. */
    async restart() {
      await provider.stop()
      provider = await startLocalProvider({ ...options, ...ports })
    },
    inputs: (name: string, change: Partial<GpuMachineInputs> = {}, deadlines = hours) =>
      machineInputs(name, deployment, base.outputs, provider.gateway, deadlines, change),
    async remove() {
      await removeMachines(deployment)
      await provider.stop()
      await store.stop()
      await removeNetwork(deployment)
      await rm(directory, { recursive: true, force: true })
    },
  }
}

export type Emulator = Awaited<ReturnType<typeof startEmulator>>

const secret = new Secret('a deployment’s secret, for tests, of 32 bytes')

export const keysOf = (name: string): MachineKeys => machineKeys(secret, name)

const hours = { seconds: 3_600, hardSeconds: 7_200 }

function machineInputs(
  name: string,
  deployment: string,
  base: BaseOutputs,
  gateway: string,
  { seconds, hardSeconds }: typeof hours,
  change: Partial<GpuMachineInputs>,
): GpuMachineInputs {
  const keys = keysOf(name)
  const zone = change.zone ?? 'us-east-1a'
  return {
    deployment,
    name,
    trainingId: '65f0c0ffee65f0c0ffee65f0',
    attempt: 1,
    type: 'g6.xlarge',
    market: 'spot',
    zone,
    vpcId: base.vpcId,
    subnetId: base.subnets[zone] ?? '',
    securityGroupId: base.securityGroupId,
    instanceProfile: base.instanceProfile,
    imageId: base.imageId,
    diskGb: 50,
    publicKey: keys.loginPublicKey,
    workerNetworks: [`${gateway}/32`],
    userData: firstBootUserData({
      hostPrivateKey: keys.hostPrivateKey.reveal(),
      authorizedKey: keys.loginPublicKey,
      lifetimeSeconds: seconds,
      hardDeadline: new Date(Date.now() + hardSeconds * 1000),
    }),
    ...change,
  }
}

export type Said = { readonly code: number; readonly stdout: string; readonly stderr: string }

/** Runs a command over SSH. Rejects if the host key is not the pinned one, or the login is refused. */
export function overSsh(host: string, keys: MachineKeys, command: string): Promise<Said> {
  const client = new ssh2.Client()
  const pinned = keys.hostPublicKey.split(' ')[1]
  return new Promise<Said>((resolve, reject) => {
    client.on('error', reject)
    client.on('ready', () => {
      client.exec(command, (error, stream) => {
        if (error) return reject(error)
        let stdout = ''
        let stderr = ''
        stream.on('data', (chunk: Buffer) => (stdout += chunk))
        stream.stderr.on('data', (chunk: Buffer) => (stderr += chunk))
        stream.on('close', (code: number) => resolve({ code, stdout, stderr }))
      })
    })
    client.connect({
      host,
      username: 'ubuntu',
      privateKey: keys.loginPrivateKey.reveal(),
      hostVerifier: (key: Buffer) => key.toString('base64') === pinned,
      readyTimeout: 5_000,
    })
  }).finally(() => client.end())
}
