/**
 * A registry of images with one image in it, as the distribution specification has it, that demands a login: at once
 * (Basic), or for a token (Bearer). It may be staged to refuse. https://github.com/opencontainers/distribution-spec
 */
import { createHash, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { pack } from 'tar-stream'

export type RegistryOptions = {
  readonly address: string
  readonly challenge: 'Basic' | 'Bearer'
  readonly user: string
  readonly password: string
}

type Stage = {
  /** Status and code of the answer to every request for something, once let in. */
  refusal: readonly [status: number, code: string] | undefined
  /** Called before an image's manifest is answered, which waits for it. */
  hold: (() => Promise<unknown>) | undefined
}

type Blob = { readonly type: string; readonly content: Buffer }

export async function startRegistry({ address, challenge, user, password }: RegistryOptions) {
  const { manifest, blobs } = await smallImage()
  const tokens = new Set<string>()
  const basic = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
  const seen: string[] = []
  const stage: Stage = { refusal: undefined, hold: undefined }

  const deny = (response: ServerResponse, status: number, code: string) => {
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ errors: [{ code, message: code.toLowerCase().replaceAll('_', ' ') }] }))
  }
  const isLetIn = ({ headers: { authorization } }: IncomingMessage) =>
    challenge === 'Basic' ? authorization === basic : tokens.has(authorization ?? '')

  const server = createServer(async (request, response) => {
    const host = `http://${request.headers.host}`
    const { pathname } = new URL(request.url ?? '', host)
    seen.push(`${request.method} ${pathname}`)
    if (pathname === '/token') {
      if (request.headers.authorization !== basic) return deny(response, 401, 'UNAUTHORIZED')
      const token = randomUUID()
      tokens.add(`Bearer ${token}`)
      return response.end(JSON.stringify({ token, access_token: token }))
    }
    if (!isLetIn(request)) {
      const realm = challenge === 'Basic' ? 'realm="images"' : `realm="${host}/token",service="images"`
      response.setHeader('www-authenticate', `${challenge} ${realm}`)
      return deny(response, 401, 'UNAUTHORIZED')
    }
    if (pathname === '/v2/') return response.end('{}')
    if (/manifests/.test(pathname)) await stage.hold?.()
    if (stage.refusal) {
      response.setHeader('retry-after', '0')
      return deny(response, ...stage.refusal)
    }
    const found = blobs.get(pathname) ?? (pathname === '/v2/lab/trainer/manifests/1' ? manifest : undefined)
    if (!found) return deny(response, 404, /manifests/.test(pathname) ? 'MANIFEST_UNKNOWN' : 'BLOB_UNKNOWN')
    response.writeHead(200, {
      'content-type': found.type,
      'content-length': found.content.length,
      'docker-content-digest': digestOf(found.content),
    })
    response.end(request.method === 'HEAD' ? undefined : found.content)
  })
  await new Promise<void>((resolve) => server.listen(0, address, resolve))
  const host = `${address}:${(server.address() as AddressInfo).port}`
  return {
    host,
    image: `${host}/lab/trainer:1`,
    digest: digestOf(manifest.content),
    seen,
    stage,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

/** A layer with one file, which no program can run, and what describes it. */
async function smallImage(): Promise<{ manifest: Blob; blobs: ReadonlyMap<string, Blob> }> {
  const tar = pack()
  tar.entry({ name: 'hello' }, 'hello\n')
  tar.finalize()
  const layer = await buffer(tar)
  const zipped = gzipSync(layer)
  const config = json({
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: [digestOf(layer)] },
  })
  const kind = (name: string) => `application/vnd.oci.image.${name}`
  const part = (type: string, content: Buffer) => ({
    mediaType: kind(type),
    digest: digestOf(content),
    size: content.length,
  })
  const manifest = json({
    schemaVersion: 2,
    mediaType: kind('manifest.v1+json'),
    config: part('config.v1+json', config),
    layers: [part('layer.v1.tar+gzip', zipped)],
  })
  const blob = (type: string, content: Buffer) => ({ type: kind(type), content })
  const whole = blob('manifest.v1+json', manifest)
  return {
    manifest: whole,
    blobs: new Map([
      [`/v2/lab/trainer/manifests/${digestOf(manifest)}`, whole],
      [`/v2/lab/trainer/blobs/${digestOf(config)}`, blob('config.v1+json', config)],
      [`/v2/lab/trainer/blobs/${digestOf(zipped)}`, blob('layer.v1.tar+gzip', zipped)],
    ]),
  }
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))

const digestOf = (content: Buffer): string => `sha256:${createHash('sha256').update(content).digest('hex')}`
