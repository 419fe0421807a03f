/** Declared resources of AWS as Terraform's JSON, so that the real provider can be asked to make them. */
import { type Declared, snakeCase, terraformAddress, terraformName, terraformType } from './declared.ts'

type Json = Readonly<Record<string, unknown>>

/** https://developer.hashicorp.com/terraform/language/syntax/json */
export function terraformJson(
  resources: readonly Declared[],
  outputs: Readonly<Record<string, string>> = {},
): Json {
  const ours = resources.filter(({ type }) => type.startsWith('aws:'))
  const resource: Record<string, Record<string, Json>> = {}
  for (const { type, name, inputs, needs } of ours) {
    const before = needs.filter((each) => each.startsWith('aws:')).map(addressOf)
    const its = { ...(argument(inputs) as Json), ...(before.length > 0 && { depends_on: before }) }
    const itsType = terraformType(type)
    resource[itsType] = { ...resource[itsType], [terraformName(name)]: its }
  }
  const output = Object.fromEntries(
    Object.entries(outputs).map(([name, reference]) => [name, { value: `\${${reference}}` }]),
  )
  return { resource, ...(Object.keys(output).length > 0 && { output }) }
}

function addressOf(need: string): string {
  const [type = '', name = ''] = need.split(' ')
  return terraformAddress(type, name)
}

/** Keys of tags are the user's own words; all others are Terraform's names. */
const maps = ['tags', 'volumeTags']

function argument(value: unknown): unknown {
  if (typeof value === 'string') return text(value)
  if (Array.isArray(value)) return value.map(argument)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, each]) => each !== null && each !== undefined)
      .map(([key, each]) => [snakeCase(key), maps.includes(key) ? each : argument(each)]),
  )
}

/** A shell's `${…}` is no template of Terraform's; our own references are. */
const text = (value: string): string =>
  value
    .replaceAll(/[$%](?=\{)/g, '$&$&')
    .replaceAll(/\{\{([\w.-]+)\}\}/g, (_, reference: string) => `\${${reference}}`)
