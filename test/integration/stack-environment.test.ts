/** What the processes of a stack operation get of the worker's environment. The engine is real; so is AWS's chain. */
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { startObjectStore } from '../../local/emulator/object-store.ts'
import { stacksOptions } from '../../src/clients.ts'
import { pulumiStacks, type StacksOptions } from '../../src/cloud/pulumi/stacks.ts'
import { readConfig } from '../../src/config.ts'
import { devEnvironment } from '../support/dev-environment.ts'
import { fewestSettings } from '../support/settings.ts'
import { componentProgram } from './engine.ts'

const credentialsProgram = new URL('./programs/credentials.ts', import.meta.url)
const hi = { inputs: { message: 'hi' } }

let folder: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'bellows-environment-'))
  mkdirSync(path.join(folder, 'state'))
  vi.stubEnv('HOME', path.join(folder, 'home'))
})
afterEach(() => {
  vi.unstubAllEnvs()
  rmSync(folder, { recursive: true, force: true })
})

/** The stacks of a worker with these settings, which are in its environment as they are in a real one's. */
function stacksWith(settings: Readonly<Record<string, string>>, change: Partial<StacksOptions> = {}) {
  const all = {
    ...fewestSettings,
    PULUMI_COMMAND: devEnvironment.pulumi,
    PULUMI_HOME: path.join(devEnvironment.cache, 'pulumi-home'),
    PULUMI_BACKEND_URL: `file://${path.join(folder, 'state')}`,
    ...settings,
  }
  for (const [name, value] of Object.entries(all)) vi.stubEnv(name, value)
  return pulumiStacks({
    ...stacksOptions(readConfig(all), 'bellows'),
    program: componentProgram,
    temporaryFolder: path.join(folder, 'temporary'),
    ...change,
  })
}

const credentials = {
  AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '/v2/credentials/1',
  AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://169.254.170.23/v1/credentials',
  AWS_CONTAINER_AUTHORIZATION_TOKEN: 'a container’s token',
  AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: '/var/run/secrets/pods/token',
  AWS_WEB_IDENTITY_TOKEN_FILE: '/var/run/secrets/web/token',
  AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/bellows-worker',
  AWS_ROLE_SESSION_NAME: 'bellows',
  AWS_PROFILE: 'trainers',
  AWS_CONFIG_FILE: '/etc/aws/config',
  AWS_SHARED_CREDENTIALS_FILE: '/etc/aws/credentials',
  AWS_SDK_LOAD_CONFIG: '1',
}
const authorities = {
  AWS_CA_BUNDLE: '/etc/ssl/aws.pem',
  SSL_CERT_FILE: '/etc/ssl/all.pem',
  SSL_CERT_DIR: '/etc/ssl/certs',
}
const proxies = {
  HTTPS_PROXY: 'http://proxy.example:3128',
  https_proxy: 'http://proxy.example:3128',
  HTTP_PROXY: 'http://proxy.example:3128',
  http_proxy: 'http://proxy.example:3128',
}
const settingsOfAws = {
  AWS_REGION: 'eu-central-1',
  AWS_ACCESS_KEY_ID: 'AKIAEXAMPLE',
  AWS_SECRET_ACCESS_KEY: 'its secret in AWS',
  AWS_SESSION_TOKEN: 'its session',
}
const straight = 'internal.example,localhost,127.0.0.1,::1,169.254.169.254,169.254.170.2,169.254.170.23'

test('AWS’s credentials, proxies and CA files reach Pulumi’s processes, and no other variable does', async () => {
  const secrets = {
    BELLOWS_SECRET: '5ec2e7a9c47d2b8350f6e1c9a47d2b83',
    BELLOWS_STATUS_TOKEN: '5ec2e7b9c47d2b8350f6e1c9a47d2b83',
    MONGODB_URL: 'mongodb://bellows:5ec2e7c@database.example/bellows',
    R2_SECRET_ACCESS_KEY: '5ec2e7d9c47d2b8350f6e1c9a47d2b83',
    BELLOWS_HF_TOKEN: 'hf_5ec2e7e',
    COMFY_DEPLOY_URL: 'https://comfy.example',
    COMFY_DEPLOY_KEY: '5ec2e7f',
    BELLOWS_WEBHOOKS: 'slack:https://hooks.slack.com/services/5ec2e7g',
    CLOUDFLARE_API_TOKEN: '5ec2e7h',
    AWS_ANYTHING_ELSE: '5ec2e7i',
    NODE_OPTIONS: '--title=5ec2e7j',
  }
  const stacks = stacksWith({
    ...credentials,
    ...authorities,
    ...proxies,
    NO_PROXY: 'internal.example',
    NODE_EXTRA_CA_CERTS: process.env.NODE_EXTRA_CA_CERTS || '/dev/null',
    ...settingsOfAws,
    ...secrets,
  })
  const { environment } = (await stacks.up('one', hi)) as { environment: Record<string, string> }
  expect(environment).toMatchObject({
    ...credentials,
    ...authorities,
    ...proxies,
    NO_PROXY: straight,
    no_proxy: straight,
    ...settingsOfAws,
  })
  const own = ['HOME', 'PATH', 'TMPDIR', 'NODE_COMPILE_CACHE', 'NODE_EXTRA_CA_CERTS', 'NO_COLOR']
  const pulumis = [
    'PULUMI_BACKEND_URL',
    'PULUMI_CONFIG_PASSPHRASE',
    'PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS',
    'PULUMI_HOME',
    'PULUMI_SKIP_UPDATE_CHECK',
  ]
  const handed = { ...credentials, ...authorities, ...proxies, ...settingsOfAws }
  expect(Object.keys(environment).sort()).toEqual(
    [...Object.keys(handed), 'NO_PROXY', 'no_proxy', ...own, ...pulumis].sort(),
  )
  expect(JSON.stringify(environment)).not.toContain('5ec2e7')
})

test('a variable that isn’t set, or is empty, does not come into being', async () => {
  const stacks = stacksWith({ AWS_PROFILE: '', HTTPS_PROXY: '' })
  const { environment } = (await stacks.up('one', hi)) as { environment: Record<string, string> }
  expect(Object.keys(environment).filter((name) => /^AWS_|_proxy$/i.test(name))).toEqual(['AWS_REGION'])
})

const files = (own: string) => {
  mkdirSync(path.join(folder, 'home/.aws'), { recursive: true })
  writeFileSync(
    path.join(folder, 'home/.aws/credentials'),
    `[default]\naws_access_key_id = HOMEKEY\naws_secret_access_key = home\n\n[other]\naws_access_key_id = OTHERKEY\naws_secret_access_key = other`,
  )
  writeFileSync(path.join(folder, 'own'), own)
}

/** As ECS and EKS answer; any other request, or one without the token, is refused. */
async function startContainerCredentials() {
  const server = createServer(({ url, headers }: IncomingMessage, answer) => {
    const known = url === '/role' && headers.authorization === 'the token'
    answer.writeHead(known ? 200 : 403, { 'content-type': 'application/json' })
    const Expiration = new Date(Date.now() + 3_600_000).toISOString()
    answer.end(
      JSON.stringify({ AccessKeyId: 'TASKKEY', SecretAccessKey: 'task', Token: 'session', Expiration }),
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${(server.address() as AddressInfo).port}/role`,
    AWS_CONTAINER_AUTHORIZATION_TOKEN: 'the token',
    close: () => server.close(),
  }
}

test('with the state in R2 the machines’ cloud still finds ~/.aws, a profile, a file or a task’s role', async () => {
  files('[default]\naws_access_key_id = FILEKEY\naws_secret_access_key = file\n')
  mkdirSync(path.join(folder, 'objects/pulumi-state'), { recursive: true })
  const store = await startObjectStore(devEnvironment.versitygw, path.join(folder, 'objects'))
  const { close, ...container } = await startContainerCredentials()
  const r2 = {
    PULUMI_BACKEND_URL: `s3://pulumi-state?endpoint=${store.endpoint}&s3ForcePathStyle=true&region=${store.region}`,
    PULUMI_BACKEND_R2: 'true',
    R2_ACCESS_KEY_ID: store.accessKeyId,
    R2_SECRET_ACCESS_KEY: store.secretAccessKey.reveal(),
  }
  let count = 0
  const keyOf = async (settings: Readonly<Record<string, string>>) => {
    const stacks = stacksWith({ ...r2, ...settings }, { program: credentialsProgram })
    const { accessKeyId } = await stacks.up(`of-${++count}`, hi)
    vi.unstubAllEnvs()
    vi.stubEnv('HOME', path.join(folder, 'home'))
    return accessKeyId
  }
  try {
    expect(await keyOf({})).toBe('HOMEKEY')
    expect(await keyOf({ AWS_PROFILE: 'other' })).toBe('OTHERKEY')
    expect(await keyOf({ AWS_SHARED_CREDENTIALS_FILE: path.join(folder, 'own') })).toBe('FILEKEY')
    rmSync(path.join(folder, 'home'), { recursive: true })
    expect(await keyOf(container)).toBe('TASKKEY')
    expect(await keyOf({ ...settingsOfAws, ...container })).toBe('AKIAEXAMPLE')
  } finally {
    close()
    await store.stop()
  }
})
