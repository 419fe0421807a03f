/**
 * A store in memory, for tests of what uses a store. It keeps the S3 server's promises (the contract
 * test runs on both); `fetch` answers its presigned URLs as the server would, expiry included.
 */
import { createHash, randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { Failure } from '../../src/failure.ts'
import { defaultPartBytes, partBytesFor, partCount } from '../../src/storage/multipart.ts'
import { publicUrlOf } from '../../src/storage/public-url.ts'
import type { ObjectRef, Store } from '../../src/storage/store.ts'

type StoredObject = { readonly body: Buffer; readonly contentType: string; readonly etag: string }

export type MemoryStore = Store & {
  readonly fetch: (url: string, request?: { method?: 'GET' | 'PUT'; body?: Buffer }) => Promise<Response>
}

const origin = 'http://memory.invalid'

export function memoryStore(
  options: {
    /** `null`: no domain. */ readonly publicUrl?: string | null
    readonly partBytes?: number
    readonly now?: () => number
  } = {},
): MemoryStore {
  const {
    publicUrl = 'https://cdn.invalid',
    partBytes: smallestPart = defaultPartBytes,
    now = Date.now,
  } = options
  const objects = new Map<string, StoredObject>()
  const uploads = new Map<string, { contentType: string; parts: Map<number, Buffer> }>()

  const put = (ref: ObjectRef, body: Buffer | string, contentType: string) => {
    const bytes = Buffer.from(body)
    objects.set(name(ref), { body: bytes, contentType, etag: `"${md5(bytes)}"` })
  }
  const get = (ref: ObjectRef): StoredObject => {
    const found = objects.get(name(ref))
    if (!found) throw new Failure('store-failed', `the store failed at reading ${name(ref)}: it is not there`)
    return found
  }
  const sign = (method: string, ref: ObjectRef, seconds: number, extra: Record<string, string> = {}) =>
    `${publicUrlOf(origin, name(ref))}?${new URLSearchParams({ method, until: String(now() + seconds * 1000), ...extra })}`

  return {
    async info(ref) {
      const found = objects.get(name(ref))
      return found && { size: found.body.length, etag: found.etag }
    },
    async read(ref, { maxBytes = Number.POSITIVE_INFINITY, range } = {}) {
      const { body } = get(ref)
      const wanted = range ? body.subarray(range[0], range[1] + 1) : body
      if (wanted.length > maxBytes) {
        const detail = `${name(ref)} has ${wanted.length} bytes, more than the ${maxBytes} expected`
        throw new Failure('store-failed', detail)
      }
      return Buffer.from(wanted)
    },
    async stream(ref) {
      return Readable.from([get(ref).body])
    },
    async write(ref, body, contentType) {
      put(ref, body, contentType)
    },
    async writeFile(ref, path, contentType) {
      put(ref, await readFile(path), contentType)
    },
    async writeParts(ref, size, read, contentType) {
      const parts: Buffer[] = []
      const partBytes = partBytesFor(size, smallestPart)
      for (let start = 0; start < size; start += partBytes)
        parts.push(await read(start, Math.min(size, start + partBytes)))
      put(ref, Buffer.concat(parts), contentType)
    },
    async writeOnce(ref, body, contentType) {
      if (objects.has(name(ref))) return false
      put(ref, body, contentType)
      return true
    },
    async list(bucket, prefix) {
      const start = `${bucket}/${prefix}`
      return [...objects]
        .filter(([path]) => path.startsWith(start))
        .map(([path, { body }]) => ({ bucket, key: path.slice(bucket.length + 1), size: body.length }))
        .sort((a, b) => (a.key < b.key ? -1 : 1))
    },
    async copy(from, to) {
      const { body, contentType } = get(from)
      put(to, body, contentType)
    },
    async remove(ref) {
      objects.delete(name(ref))
    },
    presignRead: async (ref, seconds) => sign('GET', ref, seconds),
    presignWrite: async (ref, seconds) => sign('PUT', ref, seconds),

    async beginUpload(ref, size, contentType, seconds) {
      if (size < 1)
        throw new Failure('store-failed', `${name(ref)} would be empty: there is nothing to upload`)
      const uploadId = randomUUID()
      uploads.set(uploadId, { contentType, parts: new Map() })
      const partBytes = partBytesFor(size, smallestPart)
      const urls = Array.from({ length: partCount(size, partBytes) }, (_, index) =>
        sign('PUT', ref, seconds, { uploadId, part: String(index + 1) }),
      )
      return { ref, uploadId, partBytes, urls }
    },
    async completeUpload(upload, etags, size) {
      const failed = (why: string) =>
        new Failure('store-failed', `the upload of ${name(upload.ref)} went wrong: ${why}`)
      const begun = uploads.get(upload.uploadId)
      if (begun) {
        const { contentType, parts } = begun
        const bodies = etags.map((etag, index) => {
          const body = parts.get(index + 1)
          if (!body || `"${md5(body)}"` !== etag) throw failed(`part ${index + 1} is not there`)
          return body
        })
        const sums = Buffer.concat(bodies.map((body) => createHash('md5').update(body).digest()))
        const etag = `"${md5(sums)}-${etags.length}"`
        objects.set(name(upload.ref), { body: Buffer.concat(bodies), contentType, etag })
        uploads.delete(upload.uploadId)
      }
      const found = objects.get(name(upload.ref))
      if (!found) throw failed('it is not there')
      if (found.body.length !== size) throw failed(`it has ${found.body.length} bytes instead of ${size}`)
      if (!found.etag.endsWith(`-${etags.length}"`)) throw failed(`it is not of ${etags.length} parts`)
    },
    async abandonUpload(upload) {
      uploads.delete(upload.uploadId)
    },
    publicUrl: (key) => (publicUrl === null ? `s3://models/${key}` : publicUrlOf(publicUrl, key)),

    async fetch(url, { method = 'GET', body = Buffer.alloc(0) } = {}) {
      const { pathname, searchParams: query } = new URL(url)
      if (query.get('method') !== method || Number(query.get('until')) < now()) {
        return new Response(null, { status: 403 })
      }
      const path = decodeURIComponent(pathname.slice(1))
      if (method === 'GET') {
        const found = objects.get(path)
        if (!found) return new Response(null, { status: 404 })
        const headers = { 'content-type': found.contentType }
        return new Response(new Uint8Array(found.body), { headers })
      }
      const uploadId = query.get('uploadId')
      if (uploadId === null) {
        objects.set(path, { body, contentType: '', etag: `"${md5(body)}"` })
      } else {
        const parts = uploads.get(uploadId)?.parts
        if (!parts) return new Response(null, { status: 404 })
        parts.set(Number(query.get('part')), body)
      }
      return new Response(null, { headers: { etag: `"${md5(body)}"` } })
    },
  }
}

function name(ref: ObjectRef): string {
  return `${ref.bucket}/${ref.key}`
}

function md5(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex')
}
