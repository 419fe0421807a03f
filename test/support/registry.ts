/**
 * A registry of images, as far as pushes and pulls need one: blobs and manifests, each checked against its digest. It may
 * demand a login, at once (Basic) or for a token (Bearer), and be staged to refuse or to wait.
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md
 */
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { digestOf, type Image, manifestType } from './small-image.ts'

export type RegistryOptions = {
  /** Default: loopback, where Docker speaks HTTP to a registry. */
  readonly address?: string
  /** Demanded of every client. */
  readonly login?: { readonly user: string; readonly password: string }
  /** How it is demanded. Default: Basic. */
  readonly challenge?: 'Basic' | 'Bearer'
  /** Repositories that it has; all others are unknown, as in ECR. Default: any is made by its first push. */
  readonly repositories?: readonly string[]
}

type Refusal = readonly [status: number, code: string, message?: string]

type Stage = {
  /** Answered to every request for something, once let in. */
  refusal: Refusal | undefined
  /** Called before an image's manifest is answered, which waits for it. */
  hold: (() => Promise<unknown>) | undefined
}

export async function startRegistry(options: RegistryOptions = {}) {
  const { address = '127.0.0.1', login, challenge = 'Basic', repositories } = options
  const blobs = new Map<string, Buffer>()
  /** By `<repository>:<tag>` and `<repository>@<digest>`. */
  const manifests = new Map<string, { readonly body: Buffer; readonly type: string }>()
  const uploads = new Map<string, Buffer[]>()
  const tokens = new Set<string>()
  const seen: string[] = []
  const stage: Stage = { refusal: undefined, hold: undefined }

  const basic = login && `Basic ${Buffer.from(`${login.user}:${login.password}`).toString('base64')}`
  const isLetIn = (authorization: string | undefined): boolean => {
    if (basic === undefined) return true
    return challenge === 'Basic' ? authorization === basic : tokens.has(authorization ?? '')
  }

  function keep(repository: string, reference: string, body: Buffer, type: string): void {
    manifests.set(nameOf(repository, reference), { body, type })
    manifests.set(nameOf(repository, digestOf(body)), { body, type })
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const host = `http://${request.headers.host}`
    const url = new URL(request.url ?? '/', host)
    const { authorization } = request.headers
    seen.push(`${request.method} ${url.pathname}`)
    const send = (status: number, headers: Record<string, string> = {}, body: Buffer | string = '') => {
      response.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers })
      response.end(request.method === 'HEAD' ? undefined : body)
    }
    const refuse = ([status, code, message = code.toLowerCase().replaceAll('_', ' ')]: Refusal) =>
      send(status, { 'content-type': 'application/json' }, JSON.stringify({ errors: [{ code, message }] }))

    if (url.pathname === '/token') {
      if (authorization !== basic) return refuse([401, 'UNAUTHORIZED'])
      const token = randomUUID()
      tokens.add(`Bearer ${token}`)
      return send(200, {}, JSON.stringify({ token, access_token: token }))
    }
    if (!isLetIn(authorization)) {
      const realm = challenge === 'Basic' ? 'realm="images"' : `realm="${host}/token",service="images"`
      response.setHeader('www-authenticate', `${challenge} ${realm}`)
      return refuse([401, 'UNAUTHORIZED', 'authentication required'])
    }
    const [, repository = '', kind, reference = ''] =
      /^\/v2\/(.+)\/(manifests|blobs|blobs\/uploads)\/([^/]*)$/.exec(url.pathname) ?? []
    if (!kind) return send(url.pathname === '/v2/' ? 200 : 404)
    if (kind === 'manifests') await stage.hold?.()
    if (stage.refusal) {
      response.setHeader('retry-after', '0')
      return refuse(stage.refusal)
    }
    if (repositories && !repositories.includes(repository))
      return refuse([404, 'NAME_UNKNOWN', `The repository with name '${repository}' does not exist`])
    const body = await buffer(request)
    if (kind === 'manifests') {
      if (request.method === 'PUT') {
        if (wanted(body).some((digest) => !blobs.has(digest)))
          return refuse([400, 'MANIFEST_BLOB_UNKNOWN', 'a blob of the manifest is unknown'])
        keep(repository, reference, body, request.headers['content-type'] ?? '')
        return send(201, { 'docker-content-digest': digestOf(body) })
      }
      const found = manifests.get(nameOf(repository, reference))
      if (!found) return refuse([404, 'MANIFEST_UNKNOWN'])
      const headers = { 'content-type': found.type, 'docker-content-digest': digestOf(found.body) }
      return send(200, headers, found.body)
    }
    if (kind === 'blobs') {
      const blob = blobs.get(reference)
      if (!blob) return refuse([404, 'BLOB_UNKNOWN', 'blob unknown to registry'])
      return send(200, { 'docker-content-digest': reference }, blob)
    }
    const id = reference || randomUUID()
    const parts = uploads.get(id) ?? []
    uploads.set(id, [...parts, body])
    const digest = url.searchParams.get('digest')
    if (request.method !== 'PUT' || !digest) {
      const length = parts.reduce((sum, part) => sum + part.length, body.length)
      const location = `/v2/${repository}/blobs/uploads/${id}`
      return send(202, { location, range: `0-${Math.max(0, length - 1)}`, 'docker-upload-uuid': id })
    }
    const whole = Buffer.concat(uploads.get(id) ?? [])
    uploads.delete(id)
    if (digestOf(whole) !== digest)
      return refuse([400, 'DIGEST_INVALID', 'provided digest did not match content'])
    blobs.set(digest, whole)
    send(201, { location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest })
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error: Error) => response.destroy(error))
  })
  await new Promise<void>((resolve) => server.listen(0, address, resolve))
  const host = `${address}:${(server.address() as AddressInfo).port}`
  return {
    /** `127.0.0.1:PORT`. */
    host,
    /** Every request, as `GET /v2/`. */
    seen,
    stage,
    /** An image that is there already; returns its digest. */
    put(repository: string, tag: string, { manifest, blobs: parts }: Image): string {
      for (const part of parts) blobs.set(digestOf(part), part)
      keep(repository, tag, manifest, manifestType)
      return digestOf(manifest)
    },
    /** By `<repository>@<digest>`, as an object. */
    manifest: (name: string) => {
      const found = manifests.get(name)
      return found && (JSON.parse(found.body.toString()) as { readonly config: { readonly digest: string } })
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const nameOf = (repository: string, reference: string): string =>
  `${repository}${reference.includes(':') ? '@' : ':'}${reference}`

function wanted(manifest: Buffer): readonly string[] {
  const { config, layers = [] } = JSON.parse(manifest.toString()) as {
    config?: { digest: string }
    layers?: { digest: string }[]
  }
  return [...(config ? [config] : []), ...layers].map(({ digest }) => digest)
}
