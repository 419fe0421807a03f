/** Makes the real clients from the settings: everything that the worker and the commands reach. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { EC2Client } from '@aws-sdk/client-ec2'
import { ECRClient } from '@aws-sdk/client-ecr'
import { type Db, MongoClient } from 'mongodb'
import { r2Endpoint } from '../infra/r2-places.ts'
import { ecrLogins } from './cloud/aws/ecr-logins.ts'
import { pulumiMachines } from './cloud/aws/machines.ts'
import { machineKeys } from './cloud/machine-keys.ts'
import { throughProxies } from './cloud/pulumi/handed-down.ts'
import { pulumiStacks, type Stacks, type StacksOptions } from './cloud/pulumi/stacks.ts'
import type { Config, DatabaseSettings } from './config.ts'
import { readOfferingsFile } from './config.ts'
import { mongoDatasets } from './datasets/mongo-datasets.ts'
import { datasetPreparer } from './datasets/prepare-dataset.ts'
import { createIndexes as createLedgerIndexes } from './ledger/indexes.ts'
import { mongoBudget } from './ledger/mongo-budget.ts'
import { mongoLedger } from './ledger/mongo-ledger.ts'
import { artifactGate } from './models/artifact.ts'
import { comfyDeploy } from './models/comfy-deploy.ts'
import { createIndexes as createModelIndexes } from './models/indexes.ts'
import { withLinks } from './models/links.ts'
import { type ComfyUiFolder, mongoComfyUiFolder } from './models/mongo-comfyui-folder.ts'
import { mongoModels } from './models/mongo-models.ts'
import type { AlertBook } from './notify/alerts.ts'
import { createIndexes as createAlertIndexes, mongoAlerts } from './notify/mongo-alerts.ts'
import { mongoWorkers } from './notify/mongo-workers.ts'
import type { Workers } from './notify/workers.ts'
import { availableMemory, operationsFor } from './operations/memory.ts'
import { createIndexes as createRecordIndexes } from './operations/mongo-expiry.ts'
import { mongoRecords } from './operations/mongo-records.ts'
import type { Records } from './operations/records.ts'
import type { RetentionSettings } from './operations/retention.ts'
import type { Ports } from './pipeline/ports.ts'
import type { PipelineSettings } from './pipeline/settings.ts'
import { defaultOfferings, offeringsSchema } from './recipes/offerings.ts'
import { imageCheck } from './registries/image-check.ts'
import { firstOf, registryLogins } from './registries/logins.ts'
import { sshRemote } from './remote/ssh-remote.ts'
import type { Secret } from './secret.ts'
import { r2Store } from './storage/r2-store.ts'
import type { Store } from './storage/store.ts'
import { type DatabaseClock, databaseClock } from './trainings/database-clock.ts'
import { deploymentIdentity, knownDeployment } from './trainings/deployment.ts'
import { createIndexes as createTrainingIndexes } from './trainings/indexes.ts'
import { mongoRuns } from './trainings/mongo-runs.ts'
import { mongoTimeline } from './trainings/mongo-timeline.ts'
import { mongoTrainings } from './trainings/mongo-trainings.ts'
import type { Trainings } from './trainings/trainings.ts'

export type Clients = {
  /** Identity of the deployment; the tag on everything that it creates in the cloud. */
  readonly deployment: string
  readonly ports: Ports & {
    readonly alerts: AlertBook
    readonly workers: Workers
    readonly clock: DatabaseClock
  }
  /** For the code that removes them: requests to be forgotten, and retention. */
  readonly records: Records
  /** What `bellows sync` downloads; undefined where models go to ComfyDeploy. */
  readonly comfyUiFolder: ComfyUiFolder | undefined
  close(): Promise<void>
}

/** The queue of an existing deployment, for commands that touch nothing else. */
export async function connectQueue(
  settings: DatabaseSettings,
): Promise<{ readonly trainings: Trainings; close(): Promise<void> }> {
  const mongo = await connectMongo(settings)
  const db = mongo.db(settings.MONGODB_DATABASE)
  try {
    const deployment = await knownDeployment(db, settings.BELLOWS_DEPLOYMENT, settings.BELLOWS_ENVIRONMENT)
    return { trainings: mongoTrainings(db, { deployment }), close: () => mongo.close() }
  } catch (error) {
    await mongo.close()
    throw error
  }
}

const connectMongo = (settings: DatabaseSettings): Promise<MongoClient> =>
  new MongoClient(settings.MONGODB_URL.reveal(), { appName: 'bellows', retryWrites: true }).connect()

async function connectDatabase(settings: DatabaseSettings) {
  const mongo = await connectMongo(settings)
  const db = mongo.db(settings.MONGODB_DATABASE)
  await createIndexes(db)
  const deployment = await deploymentIdentity(db, settings.BELLOWS_DEPLOYMENT, settings.BELLOWS_ENVIRONMENT)
  return { mongo, db, deployment }
}

export async function connectClients(config: Config): Promise<Clients> {
  const { mongo, db, deployment } = await connectDatabase(config)

  const store = storeOf(config)
  const ec2 = ec2Of(config)
  const ecr = ecrLogins((region) => ecrIn(region, config))
  const folder = mongoComfyUiFolder(db)
  const deploy =
    config.COMFY_DEPLOY_URL && config.COMFY_DEPLOY_KEY
      ? comfyDeploy({ endpoint: config.COMFY_DEPLOY_URL, key: config.COMFY_DEPLOY_KEY })
      : undefined

  const loginFor = firstOf(registryLogins(config.BELLOWS_REGISTRY_LOGINS), ecr.loginFor)
  const stacks = pulumiStacks(stacksOptions(config, deployment))
  const runs = mongoRuns(db, deployment)
  const keys = (name: string) => machineKeys(config.BELLOWS_SECRET, name)
  const ports = {
    trainings: mongoTrainings(db, {
      deployment,
      writeStepFields: config.BELLOWS_WRITE_STEP_FIELDS,
      ...(config.BELLOWS_ENVIRONMENT && { environment: config.BELLOWS_ENVIRONMENT }),
    }),
    runs,
    timeline: mongoTimeline(db),
    datasets: mongoDatasets(db),
    prepareDataset: datasetPreparer({
      store,
      bucket: { name: config.R2_DATASETS_BUCKET, publicUrl: config.R2_DATASETS_PUBLIC_URL },
      keys: config.BELLOWS_DATASET_KEYS,
    }),
    models: mongoModels(db),
    checkArtifact: artifactGate(store),
    checkImage: imageCheck(loginFor),
    comfyUi: deploy ? withLinks(deploy, store) : folder,
    ledger: mongoLedger(db),
    budget: mongoBudget(db),
    store,
    machines: machinesOf(config, deployment, stacks, ec2, keys),
    remote: sshRemote({
      keysFor: keys,
      user: config.BELLOWS_SSH_USER,
      port: 22,
      reconnectMs: config.BELLOWS_SSH_RECONNECT_SECONDS * 1000,
      loginFor,
    }),
    alerts: mongoAlerts(db, deployment),
    workers: mongoWorkers(db, deployment),
    clock: await databaseClock(runs),
  }
  return {
    deployment,
    ports,
    records: mongoRecords(db, deployment),
    comfyUiFolder: deploy ? undefined : folder,
    async close() {
      await stacks.close()
      ec2.destroy()
      ecr.close()
      await mongo.close()
    },
  }
}

export function storeOf(config: Config): Store {
  return r2Store({
    endpoint: config.R2_ENDPOINT ?? r2Endpoint(config.R2_ACCOUNT_ID ?? '', config.R2_JURISDICTION),
    region: config.R2_ENDPOINT ? 'us-east-1' : 'auto',
    credentials: { accessKeyId: config.R2_ACCESS_KEY_ID, secretAccessKey: config.R2_SECRET_ACCESS_KEY },
    buckets: {
      datasets: config.R2_DATASETS_BUCKET,
      models: config.R2_MODELS_BUCKET,
      bases: config.R2_BASES_BUCKET,
      work: config.R2_WORK_BUCKET,
    },
    publicUrl: config.R2_MODELS_PUBLIC_URL,
    agents: throughProxies(config.handedDown),
  })
}

export function pipelineSettings(config: Config): PipelineSettings {
  const minutes = (count: number) => count * 60_000
  const file = readOfferingsFile(config)
  return {
    worker: config.BELLOWS_WORKER,
    leaseMs: config.BELLOWS_LEASE_SECONDS * 1000,
    heartbeatMs: config.BELLOWS_HEARTBEAT_SECONDS * 1000,
    limits: {
      preparing: minutes(config.BELLOWS_LIMIT_PREPARING_MINUTES),
      ordering: minutes(config.BELLOWS_LIMIT_ORDERING_MINUTES),
      boot: minutes(config.BELLOWS_LIMIT_BOOT_MINUTES),
      pull: minutes(config.BELLOWS_LIMIT_PULL_MINUTES),
      staging: minutes(config.BELLOWS_LIMIT_STAGING_MINUTES),
      firstStep: minutes(config.BELLOWS_LIMIT_FIRST_STEP_MINUTES),
      stall: minutes(config.BELLOWS_LIMIT_STALL_MINUTES),
      stopping: 60_000,
      shipping: minutes(config.BELLOWS_LIMIT_SHIPPING_MINUTES),
      registering: minutes(5),
      teardown: minutes(config.BELLOWS_LIMIT_TEARDOWN_MINUTES),
    },
    machineCheckMs: config.BELLOWS_MACHINE_CHECK_SECONDS * 1000,
    ...(config.BELLOWS_FOREIGN_FIELDS && { foreignFields: config.BELLOWS_FOREIGN_FIELDS }),
    offerings: file ? offeringsSchema.parse(JSON.parse(file)) : defaultOfferings,
    images: {
      SDXL: config.BELLOWS_IMAGE_SDXL,
      FLUX: config.BELLOWS_IMAGE_FLUX,
      WAN: config.BELLOWS_IMAGE_WAN,
    },
    gpu: config.BELLOWS_GPU,
    containerMemoryBytes: Math.round(config.BELLOWS_CONTAINER_MEMORY_GB * 1024 ** 3),
    pointsPerUsd: config.BELLOWS_POINTS_PER_USD,
    platformFee: config.BELLOWS_PLATFORM_FEE,
    trainerCreditPoints: config.BELLOWS_TRAINER_CREDIT,
    creatorCreditPoints: config.BELLOWS_CREATOR_CREDIT,
    capFactor: config.BELLOWS_CAP_FACTOR,
    maxJobUsd: config.BELLOWS_MAX_JOB_USD,
    budget: { dayUsd: config.BELLOWS_DAY_USD, monthUsd: config.BELLOWS_MONTH_USD },
    maxAttempts: config.BELLOWS_MAX_ATTEMPTS,
    capacityWaitMs: config.BELLOWS_CAPACITY_WAIT_HOURS * 3_600_000,
  }
}

export function retentionSettings(config: Config): RetentionSettings {
  return {
    eventsDays: config.BELLOWS_KEEP_EVENTS_DAYS,
    evidenceDays: config.BELLOWS_KEEP_EVIDENCE_DAYS,
    leftoversDays: config.BELLOWS_KEEP_LEFTOVERS_DAYS,
  }
}

async function createIndexes(db: Db): Promise<void> {
  await Promise.all([
    createTrainingIndexes(db),
    createModelIndexes(db),
    createLedgerIndexes(db),
    createAlertIndexes(db),
    createRecordIndexes(db),
  ])
}

export function ec2Of(config: Config): EC2Client {
  return new EC2Client({
    region: config.AWS_REGION,
    requestHandler: throughProxies(config.handedDown),
    ...(config.AWS_EC2_ENDPOINT && { endpoint: config.AWS_EC2_ENDPOINT }),
    ...awsCredentials(config),
  })
}

const ecrIn = (region: string, config: Config): ECRClient =>
  new ECRClient({
    region,
    requestHandler: throughProxies(config.handedDown),
    ...awsCredentials(config),
  })

/** Only those that are set; the SDK finds the others itself. */
function awsCredentials(config: Config) {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secret, AWS_SESSION_TOKEN: session } = config
  if (!accessKeyId || !secret) return {}
  const sessionToken = session && { sessionToken: session.reveal() }
  return { credentials: { accessKeyId, secretAccessKey: secret.reveal(), ...sessionToken } }
}

export function stacksOptions(config: Config, deployment: string): StacksOptions {
  return {
    pulumi: config.PULUMI_COMMAND,
    pulumiHome: pulumiHome(config),
    backendUrl: config.PULUMI_BACKEND_URL,
    ...(config.PULUMI_BACKEND_R2 && {
      backendCredentials: {
        accessKeyId: config.R2_ACCESS_KEY_ID,
        secretAccessKey: config.R2_SECRET_ACCESS_KEY,
      },
    }),
    passphrase: config.PULUMI_CONFIG_PASSPHRASE,
    project: deployment === 'bellows' ? 'bellows-machines' : `bellows-machines-${deployment}`,
    environment: pulumiEnvironment(config),
    atOnce: pulumiOperations(config),
  }
}

export const pulumiHome = (config: Config): string => config.PULUMI_HOME ?? join(homedir(), '.pulumi')

export const pulumiOperations = (config: Config): number =>
  config.BELLOWS_PULUMI_CONCURRENCY ?? operationsFor(availableMemory())

function machinesOf(
  config: Config,
  deployment: string,
  stacks: Stacks,
  ec2: EC2Client,
  keys: (name: string) => ReturnType<typeof machineKeys>,
) {
  return pulumiMachines({
    deployment,
    bases: [
      {
        region: config.AWS_REGION,
        vpcId: config.BELLOWS_VPC,
        subnets: config.BELLOWS_SUBNETS,
        securityGroupId: config.BELLOWS_SECURITY_GROUP,
        instanceProfile: config.BELLOWS_INSTANCE_PROFILE,
        imageId: config.BELLOWS_AMI,
        ec2,
      },
    ],
    stacks,
    keys,
    loginUser: config.BELLOWS_SSH_USER,
    workerNetworks: config.BELLOWS_WORKER_ADDRESSES,
    market: {
      market: config.BELLOWS_MARKET,
      ...(config.BELLOWS_GPU_TYPES && { types: config.BELLOWS_GPU_TYPES }),
    },
    // The caller holds the job's lease, so the holder of an older lock no longer does.
    mayCancelLock: () => true,
  })
}

/** The environment for the engine's providers and its state backend, and nothing else. */
function pulumiEnvironment(config: Config): Record<string, string | Secret> {
  const { AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN } = config
  const { PULUMI_DEBUG_PROVIDERS, PULUMI_ACCESS_TOKEN } = config
  return {
    ...config.handedDown,
    AWS_REGION,
    ...(AWS_ACCESS_KEY_ID && { AWS_ACCESS_KEY_ID }),
    ...(AWS_SECRET_ACCESS_KEY && { AWS_SECRET_ACCESS_KEY }),
    ...(AWS_SESSION_TOKEN && { AWS_SESSION_TOKEN }),
    ...(PULUMI_DEBUG_PROVIDERS && { PULUMI_DEBUG_PROVIDERS }),
    ...(PULUMI_ACCESS_TOKEN && { PULUMI_ACCESS_TOKEN }),
  }
}
