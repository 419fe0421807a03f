/**
 * Every setting, once: its name in the environment, its type, its default and its purpose. Nothing else reads the
 * environment, except for AWS's and the network's variables: src/cloud/pulumi/handed-down.ts. The README's table and
 * `.env.example` are printed from this schema (`npm run settings`).
 */
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { z } from 'zod'
import { jurisdictions } from '../infra/r2-places.ts'
import { workerNetworks } from '../infra/worker-networks.ts'
import { type HandedDown, handDown } from './cloud/pulumi/handed-down.ts'
import { brokenRules } from './config-rules.ts'
import { defaultKeyPrefixes, wrongKeyPrefix } from './datasets/dataset-keys.ts'
import { readRegistryLogins } from './registries/logins.ts'
import { Secret } from './secret.ts'

const secret = z
  .string()
  .min(1)
  .transform((value) => new Secret(value))
/** Random text that can't be guessed, at least `characters` long. */
const strong = (characters: number) =>
  z
    .string()
    .min(characters, `is too short: ${characters} characters or more of random text (openssl rand -hex 32)`)
    .refine(
      (value) => new Set(value).size >= 8,
      'is not random text: it has fewer than 8 different characters',
    )
    .transform((value) => new Secret(value))
const count = z.coerce.number().int().min(0)
const positive = z.coerce.number().int().min(1)
const usd = z.coerce.number().positive()
const seconds = z.coerce.number().positive()
const minutes = z.coerce.number().positive()
const days = z.coerce.number().positive()
const flag = z.stringbool()
const list = z.string().transform((value) =>
  value
    .split(',')
    .map((each) => each.trim())
    .filter(Boolean),
)

const secrets = list.transform((values) => values.map((value) => new Secret(value)))

/** `us-east-1a=subnet-0abc,us-east-1b=subnet-0def`. */
const subnets = list.transform((entries, context) => {
  const pairs = entries.map((entry) => entry.split('='))
  for (const pair of pairs) {
    if (pair.length === 2 && pair[0] && pair[1]) continue
    context.addIssue({ code: 'custom', message: `"${pair.join('=')}" is not of the form zone=subnet` })
  }
  return Object.fromEntries(pairs) as Readonly<Record<string, string>>
})

/** `datasets/{datasetId}/,{ownerAccountId}/`, or `*`. */
const keyPrefixes = list.transform((patterns, context) => {
  if (patterns.length === 0) context.addIssue({ code: 'custom', message: 'names no prefix' })
  for (const pattern of patterns) {
    const wrong = wrongKeyPrefix(pattern)
    if (wrong) context.addIssue({ code: 'custom', message: `"${pattern}" ${wrong}` })
  }
  return patterns as readonly string[]
})

const registryLogins = z.string().transform((text, context) => {
  const read = readRegistryLogins(text)
  if (typeof read !== 'string') return read
  context.addIssue({ code: 'custom', message: read })
  return z.NEVER
})

export const settingsSchema = z.object({
  MONGODB_URL: secret.describe('The existing database: `mongodb://…`, with its name in the path'),
  MONGODB_DATABASE: z.string().optional().describe('Name of the database, where the URL has none'),
  BELLOWS_DEPLOYMENT: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,30}$/)
    .default('bellows')
    .describe('Tag on everything created in the cloud; the reaper touches nothing else'),
  BELLOWS_SECRET: strong(32).describe(
    "Random text that the machines' SSH keys are derived from, the same for all workers: `openssl rand -hex 32`",
  ),
  BELLOWS_WORKER: z
    .string()
    .default(`${hostname()}-${process.pid}`)
    .describe("This worker's name in leases and events"),
  BELLOWS_ENVIRONMENT: z
    .enum(['development', 'production'])
    .optional()
    .describe('Claim only jobs of this environment (and those without one)'),
  BELLOWS_WRITE_STEP_FIELDS: flag
    .default(true)
    .describe('Write `currentStep`, `totalSteps` and `currentLoss` into the job'),

  BELLOWS_CONCURRENCY: positive.default(4).describe('Jobs that this worker runs at once'),
  BELLOWS_PULUMI_CONCURRENCY: positive
    .optional()
    .describe(
      'Pulumi operations that this worker runs at once; default: as many as fit into its memory, 1 to 4',
    ),
  BELLOWS_MAX_RUNNING: positive.default(50).describe('Jobs that may run at once, over all workers'),
  BELLOWS_MAX_RUNNING_PER_OWNER: positive.default(5).describe('Jobs of one account that may run at once'),
  BELLOWS_POLL_SECONDS: seconds.default(5).describe('Seconds between two polls for new jobs, ± 20 %'),
  BELLOWS_LEASE_SECONDS: seconds
    .default(60)
    .describe('After this long without a heartbeat another worker may take the job over'),
  BELLOWS_HEARTBEAT_SECONDS: seconds
    .default(10)
    .describe('Seconds between two heartbeats, which also notice `CANCELLED`'),
  BELLOWS_SHUTDOWN_SECONDS: seconds
    .default(30)
    .describe('Time that running steps get when the worker is stopped'),
  BELLOWS_MAX_ATTEMPTS: positive
    .default(12)
    .describe('Machines over the whole life of a job; refused orders don’t count'),
  BELLOWS_CAPACITY_WAIT_HOURS: z.coerce
    .number()
    .min(0)
    .max(24 * 30)
    .default(24)
    .describe('How long a job waits in the queue for capacity before it ends and is refunded'),

  BELLOWS_MAX_JOB_USD: usd.default(15).describe('The most that the machines of one job may cost'),
  BELLOWS_CAP_FACTOR: z.coerce
    .number()
    .min(1)
    .default(3)
    .describe("A job's cap is its estimate times this, up to the line above"),
  BELLOWS_DAY_USD: usd.default(200).describe('The most that all machines may cost in a day (UTC)'),
  BELLOWS_MONTH_USD: usd.default(2000).describe('… and in a month'),
  BELLOWS_POINTS_PER_USD: positive.default(10_000).describe('Points that a dollar is worth'),
  BELLOWS_PLATFORM_FEE: z.coerce
    .number()
    .min(0)
    .max(5)
    .default(0.2)
    .describe('Fee that is added to an offering’s price in USD'),
  BELLOWS_TRAINER_CREDIT: count.default(100).describe('Points for the account that trained a model'),
  BELLOWS_CREATOR_CREDIT: count
    .default(50)
    .describe('Points for the creator of its dataset, if that is another account'),
  BELLOWS_OFFERINGS: z
    .string()
    .optional()
    .describe('JSON file of offerings; without it `sdxl-lora`, `flux-lora`, `wan-lora`'),
  BELLOWS_FOREIGN_FIELDS: list
    .optional()
    .describe('Other systems’ fields in `trainingJobs` that look like misspelt options'),

  R2_ACCOUNT_ID: z.string().optional().describe('Cloudflare account; determines the endpoint'),
  R2_JURISDICTION: z
    .enum(jurisdictions)
    .default('default')
    .describe('Jurisdiction that the buckets were created in (`eu`, `fedramp`, `us`); part of the endpoint'),
  R2_ENDPOINT: z.url().optional().describe('Endpoint of another S3 store, in place of the account'),
  R2_ACCESS_KEY_ID: z.string().describe('Key that may read and write the buckets'),
  R2_SECRET_ACCESS_KEY: secret.describe('… and its secret'),
  R2_DATASETS_BUCKET: z.string().default('datasets').describe('Bucket of the users’ images'),
  BELLOWS_DATASET_KEYS: keyPrefixes
    .default([...defaultKeyPrefixes])
    .describe(
      'Where the files of a dataset lie in that bucket, by its id or its owner’s; any other file counts as missing. `*`: anywhere',
    ),
  R2_MODELS_BUCKET: z.string().default('models').describe('Bucket of finished models'),
  R2_BASES_BUCKET: z.string().default('base-models').describe('Bucket of base-model weights'),
  R2_WORK_BUCKET: z.string().default('work').describe('Private scratch: prepared datasets, checkpoints'),
  BELLOWS_HF_TOKEN: secret
    .optional()
    .describe('Access token of the Hugging Face hub, for `bellows bases` and gated or private models'),
  R2_MODELS_PUBLIC_URL: z
    .url()
    .optional()
    .describe(
      'URL that serves the models bucket; without it links are presigned, and documents carry `s3://bucket/key`',
    ),
  R2_DATASETS_PUBLIC_URL: z
    .url()
    .optional()
    .describe('URL that serves the datasets bucket; such URLs are read from the bucket'),

  AWS_REGION: z.string().default('us-east-1').describe('Where machines are rented'),
  AWS_ACCESS_KEY_ID: z.string().optional().describe('Not needed where the worker runs under a role'),
  AWS_SECRET_ACCESS_KEY: secret.optional(),
  AWS_SESSION_TOKEN: secret.optional(),
  AWS_EC2_ENDPOINT: z.url().optional().describe('Another EC2 endpoint'),
  BELLOWS_AMI: z
    .string()
    .describe('Machine image with the NVIDIA driver, Docker and its toolkit (`pulumi stack output`)'),
  BELLOWS_VPC: z.string().describe('VPC of the machines (`pulumi stack output`)'),
  BELLOWS_SUBNETS: subnets.describe(
    'Subnets by zone: `us-east-1a=subnet-…,us-east-1b=…` (`pulumi stack output`)',
  ),
  BELLOWS_SECURITY_GROUP: z
    .string()
    .describe('Security group without inbound access (`pulumi stack output`)'),
  BELLOWS_INSTANCE_PROFILE: z
    .string()
    .describe('Instance profile without any permission (`pulumi stack output`)'),
  BELLOWS_GPU_TYPES: list.optional().describe('Instance types that may be ordered; default: all known types'),
  BELLOWS_MARKET: z
    .enum(['spot-first', 'on-demand'])
    .default('spot-first')
    .describe('`spot-first`: both, by price; `on-demand`: never a machine that can be reclaimed'),
  BELLOWS_WORKER_ADDRESSES: list
    .pipe(workerNetworks)
    .describe(
      'Addresses of all workers, as AWS sees them, or networks; machines accept SSH from nowhere else: `198.51.100.4,203.0.113.0/28`',
    ),
  BELLOWS_SSH_USER: z
    .string()
    .regex(/^(?!root$)[a-z_][a-z0-9_-]{0,31}$/, 'is not the name of a user other than root')
    .default('ubuntu')
    .describe('Login user of the machine image, with password-less sudo'),
  BELLOWS_SSH_RECONNECT_SECONDS: seconds
    .default(60)
    .describe('How long SSH to a running machine may stay down before the machine counts as lost'),
  BELLOWS_MACHINE_CHECK_SECONDS: seconds
    .default(15)
    .describe('Seconds between two checks that AWS still has a job’s machine'),
  BELLOWS_REAP_MINUTES: minutes
    .default(5)
    .describe('Interval at which the reaper compares what exists in the cloud with what should'),
  BELLOWS_GPU: flag.default(true).describe('Give the GPU to the container; `false` where machines have none'),
  BELLOWS_CONTAINER_MEMORY_GB: z.coerce
    .number()
    .positive()
    .default(14)
    .describe("Memory of the trainer's container"),

  BELLOWS_IMAGE_SDXL: z
    .string()
    .optional()
    .describe('Trainer image of each family; **required** for a family with an offering that names none'),
  BELLOWS_IMAGE_FLUX: z.string().optional(),
  BELLOWS_IMAGE_WAN: z.string().optional(),

  BELLOWS_REGISTRY_LOGINS: registryLogins
    .optional()
    .describe('Logins for private registries of trainer images, beside ECR: `{"ghcr.io": "user:token", …}`'),

  BELLOWS_KEEP_EVENTS_DAYS: days
    .default(365)
    .describe("Days after a job's end in which its timeline is kept"),
  BELLOWS_KEEP_EVIDENCE_DAYS: days.default(90).describe('… the logs and stacks of its failures'),
  BELLOWS_KEEP_LEFTOVERS_DAYS: days
    .default(30)
    .describe('… and the files of a failed one in the store, such as a checkpoint to resume from'),

  PULUMI_COMMAND: z.string().default('pulumi').describe('The Pulumi CLI'),
  PULUMI_BACKEND_URL: z
    .string()
    .default('file://~')
    .describe('State of the machines’ stacks: `file://`, `s3://`, or Pulumi Cloud'),
  PULUMI_BACKEND_R2: flag.default(false).describe('Use the R2 key for an `s3://` state'),
  PULUMI_CONFIG_PASSPHRASE: strong(12).describe('Encrypts secrets in that state; 12 characters or more'),
  PULUMI_ACCESS_TOKEN: secret.optional().describe('Login of Pulumi Cloud, where the state is kept there'),
  PULUMI_DEBUG_PROVIDERS: z.string().optional().describe('Attach to running providers (the local cloud)'),
  PULUMI_HOME: z.string().optional().describe('Pulumi’s home, with its plugins'),

  BELLOWS_LIMIT_PREPARING_MINUTES: minutes
    .default(30)
    .describe('Time limit of each phase, named in the error when it is exceeded'),
  BELLOWS_LIMIT_ORDERING_MINUTES: minutes.default(8),
  BELLOWS_LIMIT_BOOT_MINUTES: minutes.default(8),
  BELLOWS_LIMIT_PULL_MINUTES: minutes.default(20),
  BELLOWS_LIMIT_STAGING_MINUTES: minutes.default(30),
  BELLOWS_LIMIT_FIRST_STEP_MINUTES: minutes.default(20),
  BELLOWS_LIMIT_STALL_MINUTES: minutes.default(10),
  BELLOWS_LIMIT_SHIPPING_MINUTES: minutes.default(20),
  BELLOWS_LIMIT_TEARDOWN_MINUTES: minutes.default(10),

  COMFY_DEPLOY_URL: z
    .url()
    .optional()
    .describe('ComfyDeploy’s API; without it models are offered to `bellows sync`'),
  COMFY_DEPLOY_KEY: secret.optional(),
  BELLOWS_COMFYUI_TOKEN: strong(16)
    .optional()
    .describe('Bearer token that `bellows sync` sends to the worker; 16 characters or more'),

  BELLOWS_HOST: z.string().default('127.0.0.1').describe('Address that the status page listens on'),
  BELLOWS_PORT: count.max(65535).default(8080).describe('… and its port'),
  BELLOWS_HOST_NAMES: list
    .optional()
    .describe('Host names of the status page, beside its address and localhost: `bellows.example.com`'),
  BELLOWS_STATUS_TOKEN: strong(16)
    .optional()
    .describe(
      'Token of the status page, as bearer token or password; required unless it listens on localhost only',
    ),
  BELLOWS_WEBHOOKS: secrets
    .optional()
    .describe('Where alerts go: `slack:https://…`, `telegram:<token>@<chat>`, `json:https://…`'),
  BELLOWS_LOG_LEVEL: z
    .enum(['trace', 'debug', 'info', 'warn', 'error'])
    .default('info')
    .describe('Log level'),
})

export type Config = Readonly<z.infer<typeof settingsSchema>> & {
  /** AWS's and the network's variables, which are not settings of ours. */
  readonly handedDown: HandedDown
}

type Environment = Readonly<Record<string, string | undefined>>

/** Parses the environment; throws one error that names every setting that is missing or wrong. */
export function readConfig(environment: Environment): Config {
  const config = { ...read(settingsSchema, environment), handedDown: handDown(environment) }
  const broken = brokenRules(config)
  if (broken.length > 0) throw wrongSettings(broken)
  return config
}

/** The only setting of `bellows sync`, which runs beside ComfyUI and needs no other. */
export function readComfyUiToken(environment: Environment) {
  return read(settingsSchema.pick({ BELLOWS_COMFYUI_TOKEN: true }), environment)
}

export type DatabaseSettings = Pick<
  Config,
  'MONGODB_URL' | 'MONGODB_DATABASE' | 'BELLOWS_DEPLOYMENT' | 'BELLOWS_ENVIRONMENT'
>

/** All settings of commands that touch only the queue. */
export function readDatabaseSettings(environment: Environment): DatabaseSettings {
  const needed = {
    MONGODB_URL: true,
    MONGODB_DATABASE: true,
    BELLOWS_DEPLOYMENT: true,
    BELLOWS_ENVIRONMENT: true,
  } as const
  return read(settingsSchema.pick(needed), environment)
}

/** All settings that the worker's AWS policy depends on. */
export function readPolicySettings(environment: Environment) {
  return read(settingsSchema.pick({ BELLOWS_DEPLOYMENT: true, AWS_REGION: true }), environment)
}

/** An empty setting counts as unset. */
function read<Schema extends z.ZodObject>(schema: Schema, environment: Environment): z.infer<Schema> {
  const present = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''),
  )
  const parsed = schema.safeParse(present)
  if (parsed.success) return parsed.data
  throw wrongSettings(parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`))
}

function wrongSettings(problems: readonly string[]): Error {
  const lines = problems.map((problem) => `  ${problem}`).join('\n')
  return new Error(`These settings are missing or wrong (README.md lists them all):\n${lines}`)
}

/** The operator's offerings file as text, if there is one. */
export function readOfferingsFile(config: Config): string | undefined {
  return config.BELLOWS_OFFERINGS ? readFileSync(config.BELLOWS_OFFERINGS, 'utf8') : undefined
}
