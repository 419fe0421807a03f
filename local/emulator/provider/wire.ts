/**
 * Properties as the engine sends them: protobuf structs, in which a value that is not known yet (in a
 * preview) is one agreed string. Secrets arrive bare: this provider says that it takes none, and the
 * engine marks the outputs by their inputs.
 * https://pulumi-developer-docs.readthedocs.io/latest/docs/architecture/deployment-execution/state.html
 */
import structProtocol from 'google-protobuf/google/protobuf/struct_pb.js'
import type { z } from 'zod'
import type { Properties } from './state.ts'

type Struct = InstanceType<typeof structProtocol.Struct>

const unknown = '04da6b54-80e4-46f7-96ec-b56ff0331ba9'

/** The SDK's own marks on a list of arguments. */
const marks = ['__defaults', '__internal']

export function decode(struct: Struct | undefined): Properties {
  return clean(struct?.toJavaScript() ?? {}) as Properties
}

export const encode = (properties: Properties): Struct =>
  structProtocol.Struct.fromJavaScript(
    properties as Parameters<typeof structProtocol.Struct.fromJavaScript>[0],
  )

/** Without nulls, which mean 'not given', and the SDK's marks. */
function clean(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(clean)
  if (typeof value !== 'object' || value === null) return value
  const kept = Object.entries(value).filter(([key, each]) => each !== null && !marks.includes(key))
  return Object.fromEntries(kept.map(([key, each]) => [key, clean(each)]))
}

export type Mistake = { readonly property: string; readonly reason: string }

/** What is wrong with these inputs, and the inputs with their defaults where nothing is. */
export function check(
  schema: z.ZodType,
  inputs: Properties,
): { mistakes: readonly Mistake[]; inputs: Properties } {
  const parsed = schema.safeParse(inputs)
  if (parsed.success) return { mistakes: [], inputs: parsed.data as Properties }
  const mistakes = parsed.error.issues
    .filter((issue) => !meetsUnknown(inputs, issue.path))
    .map(({ path, message }) => ({ property: path.join('.'), reason: message }))
  return { mistakes, inputs }
}

/** True if a value on the way to `path`, or the value there, will be known only later. */
function meetsUnknown(inputs: Properties, path: readonly PropertyKey[]): boolean {
  let value: unknown = inputs
  for (const key of path) {
    value = (value as Record<PropertyKey, unknown> | undefined)?.[key]
    if (value === unknown) return true
  }
  return JSON.stringify(value)?.includes(unknown) ?? false
}
