/**
 * The whole cloud on one computer: a database, an object store with its CDN, AWS and Cloudflare by a provider
 * process, machines that are containers, and the base made by the real infrastructure program. A worker gets
 * the same settings as anywhere; only the addresses differ.
 *
 * Everything lies in one directory and carries one label. `stop` takes it all down, in the reverse order.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { z } from 'zod'
import { type Family, families } from '../../src/family.ts'
import { stackSettings } from '../../src/operations/stack-settings.ts'
import type { Offerings } from '../../src/recipes/offerings.ts'
import type { DevEnvironment } from '../setup/dev-environment.ts'
import { type BaseStack, createBaseStack, localPassphrase, stateUrl } from './base.ts'
import { startCdn } from './cdn.ts'
import { startDatabase } from './database.ts'
import { fillImageStore } from './machines/image-store.ts'
import { ensureNetwork, removeNetwork } from './machines/network.ts'
import { removeMachines } from './machines/remove.ts'
import { type ObjectStore, startObjectStore } from './object-store.ts'
import { localOfferings } from './offerings.ts'

export type LocalCloud = {
  readonly deployment: string
  readonly directory: string
  /** Settings for a worker. */
  readonly environment: Readonly<Record<string, string>>
  /** Where troubles are staged (provider/control.ts). */
  readonly controlUrl: string
  stop(): Promise<void>
}

export type LocalCloudOptions = {
  readonly devEnvironment: DevEnvironment
  readonly directory: string
  /** Label and network name; one cloud of a name at a time. */
  readonly deployment: string
  readonly offerings?: Offerings
  /** Whose trainers the machines get. Default: all that were built. */
  readonly families?: readonly Family[]
  /** Image of every family, where it isn't the family's own. */
  readonly trainer?: string
  readonly onProgress?: (what: string) => void
}

export async function startLocalCloud(options: LocalCloudOptions): Promise<LocalCloud> {
  const { devEnvironment, directory, deployment, onProgress = () => {} } = options
  const cleanup: (() => Promise<unknown>)[] = []
  const stop = async () => {
    for (const undo of cleanup.splice(0).reverse()) await undo()
  }
  try {
    await mkdir(join(directory, 'tmp'), { recursive: true })
    cleanup.push(() => rm(directory, { recursive: true, force: true }))
    const network = await ensureNetwork(deployment)
    cleanup.push(() => removeNetwork(deployment))

    onProgress('starting the database and the object store')
    const databaseUrl = devEnvironment.mongo.url ?? (await ownDatabase(devEnvironment, directory, cleanup))
    const store = await startObjectStore(devEnvironment.versitygw, join(directory, 'objects'), {
      host: network.gateway,
    })
    cleanup.push(store.stop)

    onProgress('starting the emulator for AWS and Cloudflare')
    const provider = await startProvider(options, store)
    cleanup.push(provider.stop)
    cleanup.push(() => removeMachines(deployment))

    await fillImageStore(trainersOf(options), {
      machineImage: devEnvironment.images.machine,
      onLoad: (image) => onProgress(`loading ${image} for the machines, once`),
    })

    onProgress('pulumi up of the base')
    await mkdir(join(directory, 'state'), { recursive: true })
    const base = await createBaseStack({ devEnvironment, directory, deployment, providerPort: provider.port })

    const cdn = await startCdn({ store, bucket: base.outputs.modelsBucket, host: '127.0.0.1' })
    cleanup.push(cdn.stop)
    const environment = await environmentOf({
      options,
      store,
      provider,
      base,
      databaseUrl,
      cdnUrl: cdn.url,
      gateway: network.gateway,
    })
    return { deployment, directory, environment, controlUrl: provider.controlUrl, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function trainersOf({
  devEnvironment,
  trainer,
  families: wanted = families,
}: LocalCloudOptions): readonly string[] {
  if (trainer) return [trainer]
  return wanted.flatMap((family) => devEnvironment.images.trainers[family] ?? [])
}

async function ownDatabase(
  devEnvironment: DevEnvironment,
  directory: string,
  cleanup: (() => Promise<unknown>)[],
): Promise<string> {
  if (!devEnvironment.mongo.binary)
    throw new Error('There is neither a MONGODB_URL nor a MongoDB server on this computer.')
  const database = await startDatabase({ binary: devEnvironment.mongo.binary }, join(directory, 'database'))
  cleanup.push(database.stop)
  return database.url
}

const readySchema = z.object({ port: z.int(), ec2Url: z.string(), controlUrl: z.string() })

type Provider = z.infer<typeof readySchema> & { stop(): Promise<void> }

/** A process of its own, so that it lives on when a worker is killed. What it complains of is in emulator.log. */
async function startProvider(
  { devEnvironment, directory, deployment }: LocalCloudOptions,
  { endpoint, accessKeyId, secretAccessKey }: ObjectStore,
): Promise<Provider> {
  const given = {
    deployment,
    stateDirectory: join(directory, 'provider'),
    machineImage: devEnvironment.images.machine,
    store: { endpoint, accessKeyId },
  }
  const logPath = join(directory, 'emulator.log')
  const log = await open(logPath, 'a')
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, 'provider/main.ts'), JSON.stringify(given)],
    {
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
        STORE_SECRET_ACCESS_KEY: secretAccessKey.reveal(),
      },
      stdio: ['ignore', 'pipe', log.fd],
      detached: true, // Ctrl-C in the terminal must not end it before its machines
    },
  )
  const exited = once(child, 'exit')
  await log.close()
  const early = async (): Promise<never> => {
    throw new Error(
      `The emulator for AWS and Cloudflare ended at its start: ${await readFile(logPath, 'utf8')}`,
    )
  }
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout as Readable }), 'line'),
    exited.then(early),
  ])) as [string]
  return {
    ...readySchema.parse(JSON.parse(line)),
    async stop() {
      child.kill('SIGTERM')
      await exited
    },
  }
}

async function environmentOf(parts: {
  readonly options: LocalCloudOptions
  readonly store: ObjectStore
  readonly provider: Provider
  readonly base: BaseStack
  readonly databaseUrl: string
  readonly cdnUrl: string
  readonly gateway: string
}): Promise<Record<string, string>> {
  const { options, store, provider, databaseUrl, cdnUrl, gateway } = parts
  const { devEnvironment, directory, deployment, trainer } = options
  const { outputs } = parts.base
  const offerings = join(directory, 'offerings.json')
  await writeFile(offerings, JSON.stringify(options.offerings ?? localOfferings, null, 2))
  const image = (family: 'SDXL' | 'FLUX' | 'WAN') =>
    trainer ?? devEnvironment.images.trainers[family] ?? 'not-built'
  return {
    ...stackSettings(outputs),
    MONGODB_URL: databaseUrl,
    MONGODB_DATABASE: `bellows_${deployment.replaceAll('-', '_')}`,
    BELLOWS_DEPLOYMENT: deployment,
    BELLOWS_SECRET: randomBytes(32).toString('hex'),
    BELLOWS_COMFYUI_TOKEN: randomBytes(16).toString('hex'),
    BELLOWS_PORT: '0',
    BELLOWS_LOG_LEVEL: 'debug',
    BELLOWS_POLL_SECONDS: '1',
    BELLOWS_HEARTBEAT_SECONDS: '2',
    BELLOWS_LEASE_SECONDS: '15',
    BELLOWS_SHUTDOWN_SECONDS: '5',
    BELLOWS_SSH_RECONNECT_SECONDS: '8',
    BELLOWS_MACHINE_CHECK_SECONDS: '3',
    BELLOWS_OFFERINGS: offerings,
    R2_ENDPOINT: store.endpoint,
    R2_ACCESS_KEY_ID: store.accessKeyId,
    R2_SECRET_ACCESS_KEY: store.secretAccessKey.reveal(),
    R2_MODELS_PUBLIC_URL: cdnUrl,
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    AWS_EC2_ENDPOINT: provider.ec2Url,
    BELLOWS_WORKER_ADDRESSES: gateway,
    BELLOWS_GPU: 'false',
    BELLOWS_CONTAINER_MEMORY_GB: '3',
    BELLOWS_IMAGE_SDXL: image('SDXL'),
    BELLOWS_IMAGE_FLUX: image('FLUX'),
    BELLOWS_IMAGE_WAN: image('WAN'),
    PULUMI_COMMAND: devEnvironment.pulumi,
    PULUMI_HOME: join(directory, 'pulumi'),
    PULUMI_BACKEND_URL: stateUrl(directory),
    PULUMI_BACKEND_R2: 'false',
    PULUMI_CONFIG_PASSPHRASE: localPassphrase,
    PULUMI_DEBUG_PROVIDERS: `aws:${provider.port},cloudflare:${provider.port}`,
    PATH: process.env.PATH ?? '',
    HOME: process.env.HOME ?? '',
    TMPDIR: join(directory, 'tmp'),
  }
}
