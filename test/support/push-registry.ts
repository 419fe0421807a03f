/**
 * A registry of images on loopback, as far as `docker push` and `docker pull` need one: blobs and manifests, each checked
 * against its digest. https://github.com/opencontainers/distribution-spec/blob/main/spec.md
 */
import { createHash, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

export type RegistryOptions = {
  /** Demanded as Basic authentication. */
  readonly login?: { readonly user: string; readonly password: string }
  /** Repositories that it has; all others are unknown, as in ECR. Default: any is made by its first push. */
  readonly repositories?: readonly string[]
}

type Refusal = readonly [status: number, code: string, message: string]

export async function startRegistry({ login, repositories }: RegistryOptions = {}) {
  const blobs = new Map<string, Buffer>()
  /** By `<repository>:<tag>` and `<repository>@<digest>`. */
  const manifests = new Map<string, { readonly body: Buffer; readonly type: string }>()
  const uploads = new Map<string, Buffer[]>()

  const basic = login && `Basic ${Buffer.from(`${login.user}:${login.password}`).toString('base64')}`

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://registry')
    const send = (status: number, headers: Record<string, string> = {}, body: Buffer | string = '') => {
      response.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers })
      response.end(request.method === 'HEAD' ? undefined : body)
    }
    const refuse = ([status, code, message]: Refusal) =>
      send(status, { 'content-type': 'application/json' }, JSON.stringify({ errors: [{ code, message }] }))

    if (basic && request.headers.authorization !== basic) {
      response.setHeader('www-authenticate', 'Basic realm="registry"')
      return refuse([401, 'UNAUTHORIZED', 'authentication required'])
    }
    const [, repository = '', kind, reference = ''] =
      /^\/v2\/(.+)\/(manifests|blobs|blobs\/uploads)\/([^/]*)$/.exec(url.pathname) ?? []
    if (!kind) return send(url.pathname === '/v2/' ? 200 : 404)
    if (repositories && !repositories.includes(repository))
      return refuse([404, 'NAME_UNKNOWN', `The repository with name '${repository}' does not exist`])
    const body = await buffer(request)
    if (kind === 'manifests') {
      const separator = reference.includes(':') ? '@' : ':'
      if (request.method === 'PUT') {
        if (wanted(body).some((digest) => !blobs.has(digest)))
          return refuse([400, 'MANIFEST_BLOB_UNKNOWN', 'a blob of the manifest is unknown'])
        const kept = { body, type: request.headers['content-type'] ?? '' }
        manifests.set(`${repository}${separator}${reference}`, kept)
        manifests.set(`${repository}@${sha256(body)}`, kept)
        return send(201, { 'docker-content-digest': sha256(body) })
      }
      const found = manifests.get(`${repository}${separator}${reference}`)
      if (!found) return refuse([404, 'MANIFEST_UNKNOWN', 'manifest unknown'])
      const headers = { 'content-type': found.type, 'docker-content-digest': sha256(found.body) }
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
    if (sha256(whole) !== digest)
      return refuse([400, 'DIGEST_INVALID', 'provided digest did not match content'])
    blobs.set(digest, whole)
    send(201, { location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest })
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error: Error) => response.destroy(error))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    /** `127.0.0.1:PORT`; Docker speaks HTTP to a registry on loopback. */
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
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

const sha256 = (body: Buffer): string => `sha256:${createHash('sha256').update(body).digest('hex')}`

function wanted(manifest: Buffer): readonly string[] {
  const { config, layers = [] } = JSON.parse(manifest.toString()) as {
    config?: { digest: string }
    layers?: { digest: string }[]
  }
  return [...(config ? [config] : []), ...layers].map(({ digest }) => digest)
}
