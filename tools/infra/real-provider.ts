/**
 * What `infra/` declares, through Terraform and the real AWS provider, against moto's server: applied, planned again without a
 * change, destroyed; and the worker's rights beside the calls that a machine's life makes.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cacheFolder } from '../../local/setup/cache.ts'
import { moto } from '../../local/setup/moto.ts'
import { createSetupFolder, type SetupFolder } from '../../local/setup/place.ts'
import { terraform } from '../../local/setup/terraform.ts'
import { type Declared, terraformAddress } from './declared.ts'
import { heldToRights } from './held-to-rights.ts'
import { type Recorder, startRecorder } from './recorder.ts'
import type { Row } from './row.ts'
import { declaredMachine } from './sample-machine.ts'
import { startBeside } from './server-beside.ts'
import { runInSession } from './session.ts'
import { terraformJson } from './terraform.ts'

export async function checkRealProvider(base: readonly Declared[]): Promise<readonly Row[]> {
  const check = 'the real AWS provider, against moto'
  const place = createSetupFolder(cacheFolder())
  await mkdir(join(place.cache, 'logs'), { recursive: true })
  const programs = await programsIn(place).catch((error: Error) => error.message)
  if (typeof programs === 'string') return [{ check, result: 'skipped', detail: programs }]
  const { command, server } = programs
  const folder = await mkdtemp(join(tmpdir(), 'bellows-infra-'))
  try {
    await using beside = await startBeside(server, await freePort(), '/moto-api/')
    await using recorder = await startRecorder(beside.url)
    return await lives(base, folder, recorder, command)
  } catch (error) {
    return [{ check, result: 'failed', detail: complaints((error as Error).message) }]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** One after the other: moto is not downloaded for nothing. */
const programsIn = async (place: SetupFolder) => ({
  command: await terraform(place),
  server: await moto(place),
})

/** Terraform's, and what a plan would change, without the programs that it quotes. */
const complaints = (words: string): string =>
  words
    .match(/Error: .*|Inappropriate .*|timed out|^ *# .* (?:will|must) be .*$|^ *[~+-] .*$/gm)
    ?.join(' ')
    .slice(0, 1000) ?? words.slice(0, 300)

async function lives(
  base: readonly Declared[],
  folder: string,
  recorder: Recorder,
  command: string,
): Promise<readonly Row[]> {
  const { calls } = recorder
  const of = (type: string, name: string) => `${terraformAddress(type, name)}.id`
  const outputs = {
    vpcId: of('aws:ec2/vpc:Vpc', 'machines'),
    subnetId: of('aws:ec2/subnet:Subnet', 'us-east-1a'),
    securityGroupId: of('aws:ec2/securityGroup:SecurityGroup', 'machines'),
  }
  const below = await workspace(command, join(folder, 'base'), terraformJson(base, outputs), recorder.url)
  await below('apply', '-auto-approve')
  await below('plan', '-detailed-exitcode')
  const { stdout } = await below('output', '-json')
  const made = JSON.parse(stdout) as Record<keyof typeof outputs, { readonly value: string }>
  const begun = calls.length
  const declared = await declaredMachine({
    vpcId: made.vpcId.value,
    subnetId: made.subnetId.value,
    securityGroupId: made.securityGroupId.value,
  })
  const machine = await workspace(
    command,
    join(folder, 'machine'),
    withoutGroups(terraformJson(declared)),
    recorder.url,
  )
  await machine('apply', '-auto-approve')
  await machine('plan', '-detailed-exitcode')
  await machine('destroy', '-auto-approve')
  const ofMachine = calls.slice(begun).filter(({ action }) => !action.startsWith('sts:'))
  await below('destroy', '-auto-approve')
  return [
    {
      check: 'the real AWS provider: apply, a plan without a change, destroy',
      result: 'passed',
      detail: `${base.filter(({ type }) => type.startsWith('aws:')).length} + ${declared.length} resources, ${calls.length} calls`,
    },
    heldToRights(ofMachine),
  ]
}

/** Moto tells the groups of a machine's network card, not those of the machine (5.2.1): no plan would be without a change. */
function withoutGroups(program: ReturnType<typeof terraformJson>): object {
  const lifecycle = { ignore_changes: ['vpc_security_group_ids'] }
  const resource = program.resource as Record<string, Record<string, object>>
  const machine = { ...resource.aws_instance?.machine, lifecycle }
  return { ...program, resource: { ...resource, aws_instance: { machine } } }
}

async function workspace(command: string, folder: string, program: object, url: string) {
  const provider = {
    ...{ region: 'us-east-1', access_key: 'local', secret_key: 'local', max_retries: 3 },
    endpoints: { ec2: url, iam: url, sts: url },
  }
  await mkdir(folder)
  const terraform = { required_providers: { aws: { source: 'hashicorp/aws', version: '5.100.0' } } }
  await writeFile(
    join(folder, 'main.tf.json'),
    JSON.stringify({ terraform, provider: { aws: provider }, ...program }),
  )
  const run = (...argv: readonly string[]) =>
    runInSession([command, ...argv, '-no-color'], {
      cwd: folder,
      env: { CHECKPOINT_DISABLE: '1', TF_IN_AUTOMATION: '1' },
      timeout: 10 * 60_000,
    })
  await run('init', '-input=false')
  return run
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
