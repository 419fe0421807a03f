/** Combinations of settings that are invalid; each broken rule is a sentence that names the settings. */
import { isLoopback } from './addresses.ts'
import { unusableProxies } from './cloud/pulumi/handed-down.ts'
import type { Config } from './config.ts'

export function brokenRules(config: Config): readonly string[] {
  return [
    ...sharedBuckets(config),
    ...halfGiven(config, 'COMFY_DEPLOY_URL', 'COMFY_DEPLOY_KEY'),
    ...halfGiven(config, 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'),
    ...(config.R2_ENDPOINT || config.R2_ACCOUNT_ID ? [] : ['R2_ACCOUNT_ID: set it, or R2_ENDPOINT']),
    ...slowHeartbeat(config),
    ...openPage(config),
    ...unusableProxies(config.handedDown),
  ]
}

/** A bucket that is public, or emptied after a job, must not serve another purpose too. */
function sharedBuckets(config: Config): readonly string[] {
  const names = ['R2_DATASETS_BUCKET', 'R2_MODELS_BUCKET', 'R2_BASES_BUCKET', 'R2_WORK_BUCKET'] as const
  return names.flatMap((name, index) =>
    names
      .slice(0, index)
      .filter((other) => config[other] === config[name])
      .map((other) => `${name}: "${config[name]}" is ${other} too; each needs a bucket of its own`),
  )
}

function halfGiven(config: Config, one: keyof Config, other: keyof Config): readonly string[] {
  if ((config[one] === undefined) === (config[other] === undefined)) return []
  return config[one] === undefined
    ? [`${one}: ${other} is set, and needs it`]
    : [`${other}: ${one} is set, and needs it`]
}

/** Two heartbeats may be lost, and the third still arrives in time. */
function slowHeartbeat({ BELLOWS_HEARTBEAT_SECONDS: beat, BELLOWS_LEASE_SECONDS: lease }: Config) {
  if (beat < lease / 3) return []
  const sentence = `${beat} is no shorter than a third of BELLOWS_LEASE_SECONDS (${lease}): a lease would be lost for a single late heartbeat`
  return [`BELLOWS_HEARTBEAT_SECONDS: ${sentence}`]
}

function openPage({ BELLOWS_HOST: host, BELLOWS_STATUS_TOKEN: token }: Config): readonly string[] {
  if (token || isLoopback(host)) return []
  return [
    `BELLOWS_STATUS_TOKEN: BELLOWS_HOST is ${host}, where others reach the status page: it needs a token (openssl rand -hex 32)`,
  ]
}
