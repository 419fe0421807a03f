/**
 * The models bucket's public domain on one computer: serves the objects of one bucket to the public, as a
 * custom domain of R2 does, and nothing else: no listing, no writing, no other bucket.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { GetObjectCommand, HeadObjectCommand, S3Client, S3ServiceException } from '@aws-sdk/client-s3'
import type { Secret } from '../../src/secret.ts'

export type CdnOptions = {
  readonly store: {
    readonly endpoint: string
    readonly accessKeyId: string
    readonly secretAccessKey: Secret
  }
  readonly bucket: string
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Default: any free one. */
  readonly port?: number
}

export type Cdn = { readonly url: string; stop(): Promise<void> }

export async function startCdn(options: CdnOptions): Promise<Cdn> {
  const { store, bucket, host = '127.0.0.1', port = 0 } = options
  const client = new S3Client({
    endpoint: store.endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: store.accessKeyId, secretAccessKey: store.secretAccessKey.reveal() },
    forcePathStyle: true,
    responseChecksumValidation: 'WHEN_REQUIRED',
  })

  const server = createServer((request, response) => {
    serve(client, bucket, request, response).catch((error) => refuse(response, error))
  })
  server.listen(port, host)
  await once(server, 'listening')

  const stop = async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    server.closeAllConnections()
    await closed
    client.destroy()
  }
  return { url: `http://${host}:${(server.address() as AddressInfo).port}`, stop }
}

async function serve(
  client: S3Client,
  bucket: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { allow: 'GET, HEAD' }).end()
    return
  }
  const key = keyOf(request.url ?? '/')
  if (key === undefined) {
    response.writeHead(404).end()
    return
  }
  const query = { Bucket: bucket, Key: key, Range: request.headers.range }
  const found =
    request.method === 'GET'
      ? await client.send(new GetObjectCommand(query))
      : await client.send(new HeadObjectCommand(query))
  response.writeHead(found.ContentRange ? 206 : 200, {
    'accept-ranges': 'bytes',
    'content-length': found.ContentLength ?? 0,
    'content-type': found.ContentType ?? 'application/octet-stream',
    ...(found.ContentRange && { 'content-range': found.ContentRange }),
    ...(found.ETag && { etag: found.ETag }),
    ...(found.LastModified && { 'last-modified': found.LastModified.toUTCString() }),
  })
  if ('Body' in found) await pipeline(found.Body as Readable, response)
  else response.end()
}

/** Undefined for what no object is called: an empty name, or a path that climbs. */
function keyOf(url: string): string | undefined {
  try {
    const key = decodeURIComponent(url.split('?')[0] ?? '').slice(1)
    const climbs = key.split('/').some((segment) => segment === '.' || segment === '..')
    return key === '' || key.endsWith('/') || key.includes('\0') || climbs ? undefined : key
  } catch {
    return undefined
  }
}

function refuse(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined
  response.writeHead(status === 404 || status === 416 ? status : 502).end()
}
