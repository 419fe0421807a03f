/**
 * Everything that exists in the emulator's clouds, in one JSON file that is replaced whole at each change:
 * the process may be killed at any moment and finds what it had made when it starts again. The file holds
 * user data, as EC2 does, and is readable by its owner only.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

export type Properties = Readonly<Record<string, unknown>>

/** A resource as Pulumi knows it, but for instances, which have a life of their own. */
export type Resource = {
  readonly id: string
  /** Pulumi's type token, such as `aws:ec2/vpc:Vpc`. */
  readonly type: string
  readonly inputs: Properties
  readonly outputs: Properties
  readonly createdAt: string
}

/** None where there is no such thing. */
export const tagsOf = (resource: Resource | undefined) =>
  (resource?.inputs.tags ?? {}) as Readonly<Record<string, string>>

export type InstanceState = 'pending' | 'running' | 'stopping' | 'stopped' | 'shutting-down' | 'terminated'

export type Instance = {
  readonly id: string
  readonly inputs: Properties
  readonly type: string
  readonly zone: string
  readonly imageId: string
  readonly subnetId: string
  readonly vpcId: string
  readonly keyName: string | undefined
  readonly groupIds: readonly string[]
  readonly market: 'spot' | 'on-demand'
  readonly shutdownBehavior: 'stop' | 'terminate'
  readonly tags: Readonly<Record<string, string>>
  readonly volume: {
    readonly id: string
    readonly gb: number
    readonly tags: Readonly<Record<string, string>>
  }
  readonly state: InstanceState
  /** Why it is as it is: `Server.SpotInstanceTermination: …`. */
  readonly stateReason?: string
  readonly address?: string
  readonly launchedAt: string
  readonly endedAt?: string
  /** When a spot instance that was given notice is taken back. */
  readonly reclaimAt?: string
}

type Content = { resources: Record<string, Resource>; instances: Record<string, Instance> }

export class State {
  readonly #path: string
  readonly #content: Content

  constructor(path: string) {
    this.#path = path
    mkdirSync(dirname(path), { recursive: true })
    this.#content = readContent(path)
  }

  resource(type: string, id: string): Resource | undefined {
    return this.#content.resources[`${type} ${id}`]
  }

  resources(type: string): readonly Resource[] {
    return Object.values(this.#content.resources).filter((each) => each.type === type)
  }

  putResource(resource: Resource): void {
    this.#content.resources[`${resource.type} ${resource.id}`] = resource
    this.#save()
  }

  removeResource(type: string, id: string): void {
    delete this.#content.resources[`${type} ${id}`]
    this.#save()
  }

  instance(id: string): Instance | undefined {
    return this.#content.instances[id]
  }

  instances(): readonly Instance[] {
    return Object.values(this.#content.instances)
  }

  putInstance(instance: Instance): void {
    this.#content.instances[instance.id] = instance
    this.#save()
  }

  removeInstance(id: string): void {
    delete this.#content.instances[id]
    this.#save()
  }

  #save(): void {
    const next = `${this.#path}.next`
    const file = openSync(next, 'w', 0o600)
    try {
      writeSync(file, JSON.stringify(this.#content))
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(next, this.#path)
  }
}

function readContent(path: string): Content {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Content
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return { resources: {}, instances: {} }
  }
}
