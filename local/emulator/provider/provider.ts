/**
 * The emulator for AWS and Cloudflare on this computer: Pulumi's provider protocol, the EC2 API and the
 * control of troubles, over one state. All of it lives in `stateDirectory`, Docker and the object store:
 * the process can be killed at any moment, and goes on from there when it is started again.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { S3Client } from '@aws-sdk/client-s3'
import { administrator } from '../ec2/caller.ts'
import { Instances } from '../ec2/instances.ts'
import { startEc2 } from '../ec2.ts'
import { listen } from '../listen.ts'
import { ensureNetwork } from '../machines/network.ts'
import { s3Buckets } from './buckets.ts'
import type { EmulatorState } from './cloud.ts'
import { controlApi } from './control.ts'
import { Faults } from './faults.ts'
import { startProviderServer } from './server.ts'
import { State } from './state.ts'
import { keyPairType } from './types/key-pair.ts'
import { ingressOf } from './types/security-group.ts'

export type LocalProviderOptions = {
  /** Names the machines' network, and is a label on all that belongs to them. */
  readonly deployment: string
  readonly stateDirectory: string
  /** Of the store whose buckets stand for R2's. */
  readonly s3: S3Client
  /** Tag of the image built from images/machine. */
  readonly machineImage: string
  /** Default: any free ones. To start again with the same ones lets running programs find it. */
  readonly port?: number
  readonly ec2Port?: number
  readonly controlPort?: number
  /** Called with what went wrong with a machine outside of any request. Default: stderr. */
  readonly onTrouble?: (message: string, error: unknown) => void
}

export type LocalProvider = {
  /** For PULUMI_DEBUG_PROVIDERS: `aws:PORT,cloudflare:PORT`. */
  readonly port: number
  /** Endpoint for EC2 clients. */
  readonly ec2Url: string
  /** Where troubles are staged over HTTP (control.ts). */
  readonly controlUrl: string
  /** This computer, as the machines see it. */
  readonly gateway: string
  readonly faults: Faults
  readonly instances: Instances
  /** Stops the servers. Machines go on: `removeMachines` (machines/remove.ts) ends them. */
  stop(): Promise<void>
}

export async function startLocalProvider(options: LocalProviderOptions): Promise<LocalProvider> {
  const { deployment, stateDirectory, s3, machineImage } = options
  const onTrouble = options.onTrouble ?? ((message, error) => console.error(message, error))
  mkdirSync(stateDirectory, { recursive: true })
  const network = await ensureNetwork(deployment)
  const state = new State(join(stateDirectory, 'clouds.json'))
  const faults = new Faults()
  const instances = new Instances({
    deployment,
    machineImage,
    network: network.name,
    state,
    faults,
    ingressOf: (groupIds) => ingressOf(state, groupIds),
    publicKeyOf: (name) => state.resource(keyPairType, name)?.inputs.publicKey as string | undefined,
    onTrouble,
  })
  await instances.recover()
  const cloud: EmulatorState = { state, instances, buckets: s3Buckets(s3), faults, caller: administrator }

  const provider = await startProviderServer(cloud, `127.0.0.1:${options.port ?? 0}`)
  const ec2 = await startEc2(cloud, options.ec2Port)
  const control = await listen(controlApi(cloud), options.controlPort)
  return {
    port: provider.port,
    ec2Url: ec2.url,
    controlUrl: control.url,
    gateway: network.gateway,
    faults,
    instances,
    async stop() {
      instances.close()
      await Promise.all([provider.stop(), ec2.stop(), control.stop()])
    },
  }
}
