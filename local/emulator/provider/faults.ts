/**
 * Troubles that the emulator can be told to make. Each is in force until it has struck `times` times or is
 * cleared; the first that fits strikes.
 */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'

const times = z.int().positive().optional()
const place = {
  /** Machine type, zone and market; all of them where absent. */
  type: z.string().optional(),
  zone: z.string().optional(),
  market: z.enum(['spot', 'on-demand']).optional(),
}
const step = {
  /** Pulumi's type token; every type where absent. */
  resource: z.string().optional(),
  /** Pulumi's stack; every one where absent. */
  stack: z.string().optional(),
  operation: z.enum(['create', 'read', 'update', 'delete']),
  /** `after`: it was done in the cloud, but the answer is lost. */
  moment: z.enum(['before', 'after']),
}

export const faultSchema = z.discriminatedUnion('kind', [
  /** EC2 refuses an order with this code, such as `InsufficientInstanceCapacity`; the provider may ask again (retries.ts), and each time counts. */
  z.strictObject({
    kind: z.literal('refuse'),
    code: z.string(),
    message: z.string().optional(),
    ...place,
    times,
  }),
  /** EC2 accepts an order and ends the instance before it runs; the code is in its StateReason. */
  z.strictObject({
    kind: z.literal('refuse-late'),
    code: z.string(),
    message: z.string().optional(),
    ...place,
    times,
  }),
  /** An instance is accepted, and stays pending for as long as the provider waits for it; the provider gives up at once here. */
  z.strictObject({ kind: z.literal('never-runs'), ...place, times }),
  /** For so long after its launch EC2 answers without an instance, or shows it without its tags. */
  z.strictObject({
    kind: z.literal('late'),
    what: z.enum(['instance', 'tags']),
    seconds: z.number().positive(),
    ...place,
  }),
  /** A security group can't be deleted, since something that is ending holds on to it. */
  z.strictObject({ kind: z.literal('held'), times }),
  /** A quota of vCPUs over all machines of a market, or of those of one family (`G`: every type that begins so). */
  z.strictObject({
    kind: z.literal('quota'),
    market: z.enum(['spot', 'on-demand']),
    family: z.enum(['G', 'P']).optional(),
    vcpus: z.int().nonnegative(),
  }),
  /** Of accounts that are older than quotas of vCPUs: so many machines of a type on demand. */
  z.strictObject({
    kind: z.literal('instance-limit'),
    type: z.string().optional(),
    instances: z.int().nonnegative(),
  }),
  /** sshd answers only after this time. */
  z.strictObject({ kind: z.literal('slow-boot'), seconds: z.number().positive(), ...place, times }),
  /** All that a job has below /job must fit into so much. */
  z.strictObject({ kind: z.literal('small-disk'), megabytes: z.int().positive(), ...place, times }),
  z.strictObject({ kind: z.literal('fail'), ...step, message: z.string().optional(), times }),
  /** EC2 refuses to end an instance there with this code, such as `UnauthorizedOperation`. */
  z.strictObject({
    kind: z.literal('refuse-end'),
    code: z.string(),
    message: z.string().optional(),
    ...place,
    times,
  }),
  /** An instance that has ended loses its tags at once; EC2 takes them away some time within the hour in which it is shown. */
  z.strictObject({ kind: z.literal('drop-tags'), ...place, times }),
  /** Doesn't answer until it is cleared, or the client has gone. */
  z.strictObject({ kind: z.literal('hang'), ...step, times }),
])

export type Fault = z.infer<typeof faultSchema>
export type StagedFault = Fault & { readonly id: string }
type Kind<K extends Fault['kind']> = Extract<Fault, { kind: K }>

export class Faults {
  #staged: StagedFault[] = []
  /** By id, for callers that wait for its end; includes faults that have used up their count. */
  readonly #over = new Map<string, AbortController>()

  /** Returns the id by which it can be cleared. */
  stage(fault: Fault): string {
    const id = randomUUID()
    this.#over.set(id, new AbortController())
    this.#staged.push({ ...faultSchema.parse(fault), id })
    return id
  }

  /** All of them where no id is given. */
  clear(id?: string): void {
    for (const each of id === undefined ? this.#over.keys() : [id]) {
      this.#over.get(each)?.abort()
      this.#over.delete(each)
    }
    this.#staged = id === undefined ? [] : this.#staged.filter((each) => each.id !== id)
  }

  /** Aborts when the fault is cleared. */
  over({ id }: Pick<StagedFault, 'id'>): AbortSignal {
    return this.#over.get(id)?.signal ?? AbortSignal.abort()
  }

  list(): readonly StagedFault[] {
    return this.#staged
  }

  /** The fault of this kind that fits, counted as having struck. */
  matchFault<K extends Fault['kind']>(
    kind: K,
    fits: (fault: Kind<K>) => boolean,
  ): (Kind<K> & Pick<StagedFault, 'id'>) | undefined {
    const found = this.#staged.find((each) => each.kind === kind && fits(each as unknown as Kind<K>))
    if (found && 'times' in found && found.times !== undefined) {
      const left = found.times - 1
      this.#staged = this.#staged.flatMap((each) =>
        each !== found ? [each] : left > 0 ? [{ ...found, times: left }] : [],
      )
    }
    return found as (Kind<K> & StagedFault) | undefined
  }
}
