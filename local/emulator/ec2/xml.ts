/**
 * EC2's answers: XML whose lists are `<item>` elements. https://docs.aws.amazon.com/AWSEC2/latest/APIReference
 */
export type Xml =
  | string
  | number
  | boolean
  | Date
  | undefined
  | readonly Xml[]
  | { readonly [name: string]: Xml }

export function element(name: string, value: Xml): string {
  if (value === undefined) return ''
  return `<${name}>${contentOf(value)}</${name}>`
}

function contentOf(value: Exclude<Xml, undefined>): string {
  if (value instanceof Date) return value.toISOString()
  if (Array.isArray(value)) return value.map((item) => element('item', item)).join('')
  if (typeof value !== 'object') return escapeText(String(value))
  return Object.entries(value)
    .map(([name, each]) => element(name, each))
    .join('')
}

const escapeText = (text: string): string => text.replace(/[<>&"']/g, (sign) => `&#${sign.charCodeAt(0)};`)

export const tagSet = (tags: Readonly<Record<string, string>>): Xml =>
  Object.entries(tags).map(([key, value]) => ({ key, value }))
