/**
 * What `infra/` declares, through Terraform and the real AWS provider, against moto's server: applied, planned again without a
 * change, destroyed; and the worker's rights beside the calls that a machine's life makes.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { execa } from 'execa'
import { workerRights } from '../../infra/worker-rights.ts'
import { ask } from '../setup/command.ts'
import { type Declared, terraformAddress } from './declared.ts'
import { type Recorder, startRecorder } from './recorder.ts'
import type { Row } from './row.ts'
import { declaredMachine } from './sample-machine.ts'
import { terraformJson } from './terraform.ts'

/** Calls that the worker makes by itself, not through the provider; the last was not seen with 5.100, and reads what may do nothing. */
const notOfThisLife = new Set([
  'ec2:GetConsoleOutput',
  'ec2:DeleteVolume',
  'ecr:GetAuthorizationToken',
  'ecr:BatchGetImage',
  'ecr:GetDownloadUrlForLayer',
  'iam:GetInstanceProfile',
])

export async function checkRealProvider(base: readonly Declared[]): Promise<readonly Row[]> {
  const check = 'the real AWS provider, against moto'
  const skipped = async (): Promise<string | undefined> => {
    if ((await ask(['terraform', 'version'])) === undefined) return 'there is no terraform on the path'
    if ((await ask(['moto_server', '--help'])) === undefined)
      return 'there is no moto_server: pip install "moto[server,ec2]"'
    return undefined
  }
  const why = await skipped()
  if (why) return [{ check, result: 'skipped', detail: why }]
  const folder = await mkdtemp(join(tmpdir(), 'bellows-infra-'))
  const port = await freePort()
  const moto = execa('moto_server', ['-p', String(port)], { stdio: 'ignore', reject: false }) // ends with this process
  try {
    await untilAnswers(`http://127.0.0.1:${port}/moto-api/`)
    await using recorder = await startRecorder(`http://127.0.0.1:${port}`)
    return await lives(base, folder, recorder)
  } catch (error) {
    return [{ check, result: 'failed', detail: complaints((error as Error).message) }]
  } finally {
    moto.kill()
    await rm(folder, { recursive: true, force: true })
  }
}

/** Terraform's, and what a plan would change, without the programs that it quotes. */
const complaints = (words: string): string =>
  words
    .match(/Error: .*|Inappropriate .*|timed out|^ *# .* (?:will|must) be .*$|^ *[~+-] .*$/gm)
    ?.join(' ')
    .slice(0, 1000) ?? words.slice(0, 300)

async function lives(base: readonly Declared[], folder: string, recorder: Recorder): Promise<readonly Row[]> {
  const { calls } = recorder
  const of = (type: string, name: string) => `${terraformAddress(type, name)}.id`
  const outputs = {
    vpcId: of('aws:ec2/vpc:Vpc', 'machines'),
    subnetId: of('aws:ec2/subnet:Subnet', 'us-east-1a'),
    securityGroupId: of('aws:ec2/securityGroup:SecurityGroup', 'machines'),
  }
  const below = await terraform(join(folder, 'base'), terraformJson(base, outputs), recorder.url)
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
  const machine = await terraform(
    join(folder, 'machine'),
    withoutGroups(terraformJson(declared)),
    recorder.url,
  )
  await machine('apply', '-auto-approve')
  await machine('plan', '-detailed-exitcode')
  await machine('destroy', '-auto-approve')
  const ofMachine = calls.slice(begun).filter((call) => !call.startsWith('sts:'))
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

/** In both directions, by the names of the actions; which things they reach is test/infra/worker-rights.test.ts's matter. */
function heldToRights(calls: readonly string[]): Row {
  const made = new Set(calls)
  const actions = new Set(workerRights.map(({ action }) => action))
  const lacking = [...made].filter((call) => !actions.has(call) && !/^ec2:Describe/.test(call))
  const byOthers = (action: string) =>
    notOfThisLife.has(action) || /^(ec2:CreateTags|iam:PassRole|ec2:Describe\*)$/.test(action)
  const unused = [...actions].filter((action) => !made.has(action) && !byOthers(action))
  const detail = [
    ...(lacking.length > 0 ? [`not allowed: ${lacking.join(', ')}`] : []),
    ...(unused.length > 0 ? [`never called: ${unused.join(', ')}`] : []),
  ].join('; ')
  return {
    check: 'the worker’s rights and the calls of a machine’s life, in both directions',
    result: detail ? 'failed' : 'passed',
    detail: detail || `${made.size} different calls`,
  }
}

async function terraform(folder: string, program: object, url: string) {
  const provider = {
    ...{ region: 'us-east-1', access_key: 'local', secret_key: 'local', max_retries: 3 },
    endpoints: { ec2: url, iam: url, sts: url },
  }
  await mkdir(folder)
  const terraform = { required_providers: { aws: { source: 'hashicorp/aws' } } }
  await writeFile(
    join(folder, 'main.tf.json'),
    JSON.stringify({ terraform, provider: { aws: provider }, ...program }),
  )
  const run = (...argv: readonly string[]) =>
    execa('terraform', [...argv, '-no-color'], {
      cwd: folder,
      env: { CHECKPOINT_DISABLE: '1', TF_IN_AUTOMATION: '1' },
      stdin: 'ignore',
      timeout: 10 * 60_000,
    })
  await run('init', '-input=false')
  return run
}

async function untilAnswers(url: string): Promise<void> {
  const deadline = performance.now() + 60_000
  while (
    !(await fetch(url).then(
      () => true,
      () => false,
    ))
  ) {
    if (performance.now() > deadline) throw new Error(`${url} does not answer`)
    await pause(100)
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
