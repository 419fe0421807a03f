/**
 * Pulumi's provider protocol (provider.proto), spoken for AWS and Cloudflare at once. The engine attaches to
 * this process by PULUMI_DEBUG_PROVIDERS=aws:PORT,cloudflare:PORT instead of starting the real providers, and
 * several engines may at the same time. What a request means is the resource types' matter.
 *
 * A request whose asker is gone is not undone: as with the real clouds, what was ordered may exist all the
 * same, and no state knows of it.
 */
import grpc from '@grpc/grpc-js'
import aws from '@pulumi/aws/package.json' with { type: 'json' }
import pluginProtocol from '@pulumi/pulumi/proto/plugin_pb.js'
import service from '@pulumi/pulumi/proto/provider_grpc_pb.js'
import type * as requests from '@pulumi/pulumi/proto/provider_pb.js'
import protocol from '@pulumi/pulumi/proto/provider_pb.js'
import emptyProtocol from 'google-protobuf/google/protobuf/empty_pb.js'
import { z } from 'zod'
import { callerOf } from '../ec2/caller.ts'
import { localRegion } from '../ec2/catalog.ts'
import { defaultAttempts, type Retries } from '../ec2/retries.ts'
import type { EmulatorState } from './cloud.ts'
import type { Fault } from './faults.ts'
import { invoke } from './invokes.ts'
import type { ResourceType } from './resource.ts'
import type { Properties } from './state.ts'
import { resourceTypes } from './types/all.ts'
import { check, decode, encode } from './wire.ts'

type Call<Request> = {
  readonly request: Request
  readonly gone: AbortSignal
  /** The connection of one engine. */
  readonly peer: string
}

export async function startProviderServer(
  cloud: EmulatorState,
  address: string,
): Promise<{ port: number; stop(): Promise<void> }> {
  const server = new grpc.Server({ 'grpc.max_receive_message_length': -1 })
  server.addService(service.ResourceProviderService, unary(handlers(cloud)))
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    )
  })
  return { port, stop: async () => server.forceShutdown() }
}

function handlers(cloud: EmulatorState) {
  const empty = () => new emptyProtocol.Empty()
  /** By engine. What an engine has configured holds for as long as it is connected. */
  const attempts = new Map<string, number>()
  const retriesFor = ({ peer, gone }: Pick<Call<unknown>, 'peer' | 'gone'>): Retries => ({
    attempts: attempts.get(peer) ?? defaultAttempts,
    gone,
  })
  return {
    attach: empty,
    cancel: empty,

    /** No older than either provider whose place it takes. */
    getPluginInfo: () => new pluginProtocol.PluginInfo().setVersion(aws.version),

    checkConfig({ request }: Call<requests.CheckRequest>) {
      const news = decode(request.getNews())
      const region = news.region
      const wrong = request.getUrn().includes('pulumi:providers:aws::') && region !== localRegion
      const reason =
        region === undefined ? 'Missing region configuration' : `the local cloud is in ${localRegion}`
      return checked(news, wrong ? [{ property: 'region', reason }] : [])
    },

    diffConfig: () => new protocol.DiffResponse().setChanges(protocol.DiffResponse.DiffChanges.DIFF_NONE),

    configure({ request, peer }: Call<requests.ConfigureRequest>) {
      const { maxRetries } = decode(request.getArgs())
      if (maxRetries !== undefined) attempts.set(peer, Number(maxRetries))
      return new protocol.ConfigureResponse().setSupportspreview(true)
    },

    check({ request }: Call<requests.CheckRequest>) {
      const given = decode(request.getNews())
      const { mistakes, inputs } = check(typeOf(request.getUrn()).inputs, given)
      return checked(inputs, mistakes)
    },

    diff({ request }: Call<requests.DiffRequest>) {
      const { inputs: schema, changeable } = typeOf(request.getUrn())
      const news = check(schema, decode(request.getNews())).inputs
      const olds = check(schema, decode(request.getOldInputs())).inputs
      const changed = [...new Set([...Object.keys(news), ...Object.keys(olds)])].filter(
        (key) => !same(news[key], olds[key]) && !request.getIgnorechangesList().includes(key),
      )
      const { DIFF_SOME, DIFF_NONE } = protocol.DiffResponse.DiffChanges
      return new protocol.DiffResponse()
        .setChanges(changed.length > 0 ? DIFF_SOME : DIFF_NONE)
        .setDiffsList(changed)
        .setReplacesList(changed.filter((key) => !changeable.includes(key)))
        .setDeletebeforereplace(true)
    },

    async create({ request, gone, peer }: Call<requests.CreateRequest>) {
      const inputs = decode(request.getProperties())
      const response = new protocol.CreateResponse()
      if (request.getPreview()) return response.setProperties(encode(inputs))
      const type = typeOf(request.getUrn())
      const create = (asked: EmulatorState) =>
        type.create(inputs, { ...asked, retries: retriesFor({ peer, gone }) })
      const { id, outputs } = await injectFault(cloud, request.getUrn(), 'create', gone, create)
      return response.setId(id).setProperties(encode(outputs))
    },

    async read({ request, gone }: Call<requests.ReadRequest>) {
      const type = typeOf(request.getUrn())
      const made = await injectFault(cloud, request.getUrn(), 'read', gone, (asked) =>
        type.read(request.getId(), asked),
      )
      const response = new protocol.ReadResponse()
      if (!made) return response.setId('')
      const inputs = likeInputs(decode(request.getInputs()), made.outputs)
      return response.setId(made.id).setProperties(encode(made.outputs)).setInputs(encode(inputs))
    },

    async update({ request, gone }: Call<requests.UpdateRequest>) {
      const inputs = decode(request.getNews())
      const response = new protocol.UpdateResponse()
      if (request.getPreview()) return response.setProperties(encode(inputs))
      const type = typeOf(request.getUrn())
      const update = (asked: EmulatorState) => type.update(request.getId(), inputs, asked)
      const { outputs } = await injectFault(cloud, request.getUrn(), 'update', gone, update)
      return response.setProperties(encode(outputs))
    },

    async delete({ request, gone, peer }: Call<requests.DeleteRequest>) {
      const type = typeOf(request.getUrn())
      await injectFault(cloud, request.getUrn(), 'delete', gone, (asked) =>
        type.delete(request.getId(), { ...asked, retries: retriesFor({ peer, gone }) }),
      )
      return empty()
    },

    invoke({ request }: Call<requests.InvokeRequest>) {
      return new protocol.InvokeResponse().setReturn(
        encode(invoke(request.getTok(), decode(request.getArgs()))),
      )
    },
  }
}

/** Of what there is, all that was given, and nothing that came of it by itself, such as a disk's id. */
function likeInputs(given: Properties, outputs: Properties): Properties {
  const isObject = (value: unknown): value is Properties =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
  return Object.fromEntries(
    Object.entries(given).map(([key, value]) => {
      const made = outputs[key]
      return [key, isObject(value) && isObject(made) ? likeInputs(value, made) : made]
    }),
  )
}

function checked(inputs: Properties, mistakes: readonly { property: string; reason: string }[]) {
  const failures = mistakes.map(({ property, reason }) =>
    new protocol.CheckFailure().setProperty(property).setReason(reason),
  )
  return new protocol.CheckResponse().setInputs(encode(inputs)).setFailuresList(failures)
}

/** `urn:pulumi:stack::project::type$type::name` */
function typeOf(urn: string): ResourceType {
  const token = urn.split('::')[2]?.split('$').at(-1) ?? ''
  const type = resourceTypes.get(token)
  if (!type) throw new Error(`The local cloud has no ${token}`)
  return type
}

const same = (one: unknown, other: unknown): boolean => canonical(one) === canonical(other)

const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, each) =>
    each && typeof each === 'object' && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([one], [other]) => one.localeCompare(other)))
      : each,
  ) ?? ''

type Operation = Extract<Fault, { kind: 'fail' }>['operation']

/** Does the work on the caller's behalf, with the faults that were staged for it. */
async function injectFault<Result>(
  cloud: EmulatorState,
  urn: string,
  operation: Operation,
  gone: AbortSignal,
  work: (asked: EmulatorState) => Promise<Result>,
): Promise<Result> {
  const { faults, state } = cloud
  const stack = urn.split(':')[2]
  const { type } = typeOf(urn)
  const trouble = async (moment: 'before' | 'after') => {
    const fits = (fault: Extract<Fault, { kind: 'fail' | 'hang' }>) =>
      fault.operation === operation &&
      fault.moment === moment &&
      (fault.resource ?? type) === type &&
      (fault.stack ?? stack) === stack
    const hang = faults.matchFault('hang', fits)
    if (hang) {
      await untilAborted(AbortSignal.any([gone, faults.over(hang)]))
      if (gone.aborted) throw new Error('the client has gone')
    }
    const failure = faults.matchFault('fail', fits)
    if (failure)
      throw new Error(failure.message ?? `${operation} ${type}: the connection was reset by the peer`)
  }
  await trouble('before')
  const result = await work({ ...cloud, caller: callerOf(urn, state) })
  await trouble('after')
  return result
}

const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })

/** Plain functions as gRPC handlers: a thrown error becomes the status that the engine prints. */
function unary(functions: object): grpc.UntypedServiceImplementation {
  const handlers = Object.entries(functions).map(([name, answer]) => {
    const handler: grpc.handleUnaryCall<unknown, unknown> = (call, callback) => {
      const gone = new AbortController()
      call.on('cancelled', () => gone.abort())
      Promise.resolve()
        .then(() => answer({ request: call.request, gone: gone.signal, peer: call.getPeer() }))
        .then(
          (response) => callback(null, response),
          (error) => callback({ code: grpc.status.UNKNOWN, details: sentenceOf(error) }),
        )
    }
    return [name, handler]
  })
  return Object.fromEntries(handlers)
}

function sentenceOf(error: unknown): string {
  if (error instanceof z.ZodError) return z.prettifyError(error)
  return error instanceof Error ? error.message : String(error)
}
