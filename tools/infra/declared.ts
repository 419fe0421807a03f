/**
 * What a Pulumi program declares, without an engine or a cloud: its resources in order, as the engine would be asked
 * for them. What only a cloud would know is a reference, such as `{{aws_vpc.machines.id}}`, in Terraform's names.
 */
import * as pulumi from '@pulumi/pulumi'
import { getMonitor } from '@pulumi/pulumi/runtime/settings.js'

export type Declared = {
  /** Pulumi's token, such as `aws:ec2/vpc:Vpc`. */
  readonly type: string
  readonly name: string
  readonly inputs: Readonly<Record<string, unknown>>
  readonly isProtected: boolean
  /** Names of what must be there before it, as `<type> <name>`. */
  readonly needs: readonly string[]
}

export const imageId = 'ami-12c6146b'
export const zones = ['us-east-1a', 'us-east-1b'] as const

/** `bellows:…` as `pulumi config` has them, beside the defaults of Pulumi.yaml. */
export const baseConfig = {
  'bellows:deployment': 'test',
  'bellows:network': '10.77.0.0/16',
  'bellows:cloudflareAccountId': '0123456789abcdef0123456789abcdef',
} as const

/** Runs `program` and returns what it declares. One at a time in a process. */
export async function declared(
  program: () => unknown,
  config: Readonly<Record<string, string>> = {},
): Promise<readonly Declared[]> {
  const resources: Declared[] = []
  pulumi.runtime.setAllConfig(config)
  await pulumi.runtime.setMocks({ newResource, call }, 'bellows', 'test')
  noteRequests(resources)
  await program()
  await pulumi.runtime.disconnect()
  return resources
}

/** All of `infra/index.ts`, which a process can run only once. */
export const declaredBase = (): Promise<readonly Declared[]> =>
  declared(() => import('../../infra/index.ts'), baseConfig)

/** Mocks are not told of options, but the monitor that calls them is. */
function noteRequests(resources: Declared[]): void {
  const monitor = getMonitor() as unknown as MockMonitor
  const register = monitor.registerResource.bind(monitor)
  monitor.registerResource = (request, answer) => {
    const [type, name] = [request.getType(), request.getName()]
    if (type !== 'pulumi:pulumi:Stack')
      resources.push({
        type,
        name,
        inputs: unwrapped(request.getObject().toJavaScript()) as Declared['inputs'],
        isProtected: request.getProtect() ?? false,
        needs: request.getDependenciesList().map((urn) => urn.split('::').slice(2).join(' ')),
      })
    return register(request, answer)
  }
}

/** Pulumi's mark of a secret, and of what it wraps. */
const secretMark = '4dabf18193072939515e22adb298388d'

function unwrapped(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unwrapped)
  if (typeof value !== 'object' || value === null) return value
  if (secretMark in value) return unwrapped((value as { readonly value?: unknown }).value)
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, unwrapped(each)]))
}

type Request = {
  getType(): string
  getName(): string
  getProtect(): boolean | undefined
  getDependenciesList(): readonly string[]
  getObject(): { toJavaScript(): Record<string, unknown> }
}

type MockMonitor = { registerResource(request: Request, answer: unknown): Promise<void> }

async function newResource({ type, name, inputs }: pulumi.runtime.MockResourceArgs) {
  const of = (property: string) => `{{${terraformAddress(type, name)}.${property}}}`
  return { id: of('id'), state: { ...inputs, arn: of('arn'), publicIp: of('public_ip') } }
}

const answers: Readonly<Record<string, object>> = {
  'aws:index/getRegion:getRegion': { region: 'us-east-1' },
  'aws:index/getAvailabilityZones:getAvailabilityZones': { names: zones },
  'aws:ssm/getParameter:getParameter': { value: imageId },
}

async function call({ token }: pulumi.runtime.MockCallArgs) {
  const answer = answers[token]
  if (!answer) throw new Error(`No answer is known to ${token}`)
  return answer
}

/** Such as `aws_vpc.machines` for `aws:ec2/vpc:Vpc machines`. */
export function terraformAddress(type: string, name: string): string {
  return `${terraformType(type)}.${terraformName(name)}`
}

export function terraformType(type: string): string {
  const [, provider, module, resource] = /^(\w+):(\w+)\/\w+:(\w+)$/.exec(type) ?? []
  if (!provider || !module || !resource) throw new Error(`${type} is no type of a provider`)
  const prefix = ['ec2', 'index'].includes(module) ? '' : `${module}_`
  return `${provider}_${prefix}${snakeCase(resource)}`
}

export const terraformName = (name: string): string => name.replaceAll(/[^\w-]/g, '_')

/** `cidrIpv4` → `cidr_ipv4`; a capital in a row with others begins no word. */
export const snakeCase = (text: string): string =>
  text.replaceAll(/(?<=[a-z0-9])(?=[A-Z])/g, '_').toLowerCase()
