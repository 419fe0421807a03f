/**
 * One type of resource of the emulator: which inputs it takes, which of them can't be changed in place, and
 * what is done in the cloud for it. A file in types/ for each.
 */
import type { z } from 'zod'
import type { EmulatorState } from './cloud.ts'
import type { Properties } from './state.ts'

/** What Pulumi calls an instance of the type: its id, and every property, inputs included. */
export type Made = { readonly id: string; readonly outputs: Properties }

export type ResourceType = {
  /** Such as `aws:ec2/vpc:Vpc`. */
  readonly type: string
  /** Strict: an unknown property is a mistake of the program. Defaults are filled in as the provider does. */
  readonly inputs: z.ZodType
  /** Inputs that can be changed in place. A change of any other one makes the resource anew. */
  readonly changeable: readonly string[]
  create(inputs: Properties, cloud: EmulatorState): Promise<Made>
  /** Undefined if it is gone. */
  read(id: string, cloud: EmulatorState): Promise<Made | undefined>
  update(id: string, inputs: Properties, cloud: EmulatorState): Promise<Made>
  /** Safe to repeat: fine if it is gone. */
  delete(id: string, cloud: EmulatorState): Promise<void>
}

type Actions<Inputs> = {
  readonly type: string
  readonly inputs: z.ZodType<Inputs>
  readonly changeable?: readonly string[]
  /** Throws an ApiError where the real service would refuse. Its result is what is kept. */
  make(inputs: Inputs, cloud: EmulatorState): Made | Promise<Made>
  /** After a change in place; default: nothing to do but to remember it. */
  changed?(id: string, inputs: Inputs, cloud: EmulatorState): Properties | Promise<Properties>
  /** Throws where the real service would refuse. */
  unmake?(made: Made & { readonly inputs: Inputs }, cloud: EmulatorState): void | Promise<void>
  /** After each of these is in the state: brings in line what depends on it. */
  settle?(inputs: Inputs, cloud: EmulatorState): Promise<void>
}

/** A type whose resources are rows of the state file. */
export function kept<Inputs>(actions: Actions<Inputs>): ResourceType {
  const { type, inputs: schema, changeable = ['tags'] } = actions
  const parse = (inputs: Properties) => schema.parse(inputs)
  return {
    type,
    inputs: schema,
    changeable,
    async create(given, cloud) {
      const { id, outputs } = await actions.make(parse(given), cloud)
      const resource = { id, type, inputs: given, outputs: { ...given, ...tagsAll(given), ...outputs } }
      cloud.state.putResource({ ...resource, createdAt: new Date().toISOString() })
      await actions.settle?.(parse(given), cloud)
      return resource
    },
    async read(id, cloud) {
      return cloud.state.resource(type, id)
    },
    async update(id, given, cloud) {
      const existing = cloud.state.resource(type, id)
      if (!existing) throw new Error(`${type} ${id} does not exist`)
      const changes = (await actions.changed?.(id, parse(given), cloud)) ?? {}
      const outputs = { ...existing.outputs, ...given, ...tagsAll(given), ...changes }
      cloud.state.putResource({ ...existing, inputs: given, outputs })
      await actions.settle?.(parse(given), cloud)
      return { id, outputs }
    },
    async delete(id, cloud) {
      const existing = cloud.state.resource(type, id)
      if (!existing) return
      await actions.unmake?.({ ...existing, inputs: parse(existing.inputs) }, cloud)
      cloud.state.removeResource(type, id)
      await actions.settle?.(parse(existing.inputs), cloud)
    },
  }
}

const tagsAll = (inputs: Properties): Properties => ('tags' in inputs ? { tagsAll: inputs.tags } : {})
