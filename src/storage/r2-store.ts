/**
 * The store on Cloudflare R2, or anything that speaks S3. Every request goes through one retry policy
 * (`src/retry.ts`; the SDK's own is off), body included, so that an answer cut in the middle is asked
 * for again. What still fails is Failure('store-failed'); what isn't there is not retried.
 */
import { createHash } from 'node:crypto'
import { open, stat } from 'node:fs/promises'
import type { AgentOptions } from 'node:http'
import type { Readable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import PQueue from 'p-queue'
import { Failure } from '../failure.ts'
import { type RetryPolicy, retry } from '../retry.ts'
import type { Secret } from '../secret.ts'
import { defaultPartBytes, partBytesFor, partCount, partsInEtag } from './multipart.ts'
import { publicUrlOf } from './public-url.ts'
import { classify, isTransient, statusOf } from './s3-errors.ts'
import type { Bucket, ObjectInfo, ObjectRef, Store, Upload } from './store.ts'

export type R2Options = {
  /** `https://<account>.r2.cloudflarestorage.com`; presigned URLs are on this host too. */
  readonly endpoint: string
  /** R2: `auto`. */
  readonly region: string
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: Secret }
  readonly buckets: Readonly<Record<Bucket, string>>
  /** Base URL of the models bucket's public domain, where it has one. */
  readonly publicUrl?: string | undefined
  /** Bytes; files up to this size go up in one request. Default 16 MiB, at least 5 MiB. */
  readonly partBytes?: number
  /** Bytes; objects up to this size are copied in one request. Default 256 MiB, at most 5 GiB. */
  readonly copyPartBytes?: number
  readonly retry?: RetryPolicy
  /** What connections are made by, where they go through a proxy. */
  readonly agents?: { readonly httpAgent?: AgentOptions; readonly httpsAgent?: AgentOptions }
}

const uploadsAtOnce = 4
const defaultCopyPartBytes = 256 * 1024 * 1024

export function r2Store(options: R2Options): Store {
  const { buckets, publicUrl, partBytes: smallestPart = defaultPartBytes } = options
  const { copyPartBytes = defaultCopyPartBytes } = options
  const client = new S3Client({
    endpoint: options.endpoint,
    region: options.region,
    credentials: {
      accessKeyId: options.credentials.accessKeyId,
      secretAccessKey: options.credentials.secretAccessKey.reveal(),
    },
    forcePathStyle: true,
    maxAttempts: 1,
    // Since 3.729 the SDK signs the CRC32 of an empty body into presigned PUTs; set here and not in the
    // environment, because Pulumi's state backend on R2 has needed the opposite.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { connectionTimeout: 5_000, socketTimeout: 60_000, ...options.agents },
  })

  /** Dated by the store's clock, as far as answers have told it: one that is dated too early or late is refused. */
  const validFor = (seconds: number) => ({
    expiresIn: seconds,
    signingDate: new Date(Date.now() + client.config.systemClockOffset),
  })

  const locate = (ref: ObjectRef) => ({ Bucket: buckets[ref.bucket], Key: ref.key })
  const attempt = <T>(doing: string, work: () => Promise<T>) =>
    retry(work, isTransient, options.retry).catch((error) => {
      throw classify(error, doing)
    })

  const store: Store = {
    async info(ref) {
      return attempt(`looking at ${name(ref)}`, async (): Promise<ObjectInfo | undefined> => {
        try {
          const head = await client.send(new HeadObjectCommand(locate(ref)))
          return { size: head.ContentLength ?? 0, etag: head.ETag ?? '' }
        } catch (error) {
          if (statusOf(error) === 404) return undefined
          throw error
        }
      })
    },

    async read(ref, { maxBytes = Number.POSITIVE_INFINITY, range } = {}) {
      return attempt(`reading ${name(ref)}`, async () => {
        const Range = range && `bytes=${range[0]}-${range[1]}`
        const answer = await client.send(new GetObjectCommand({ ...locate(ref), Range }))
        const body = answer.Body as Readable
        const size = answer.ContentLength ?? 0
        if (size > maxBytes) {
          body.destroy()
          throw new Failure(
            'store-failed',
            `${name(ref)} has ${size} bytes, more than the ${maxBytes} expected`,
          )
        }
        const chunks: Buffer[] = []
        for await (const chunk of body) chunks.push(chunk)
        return Buffer.concat(chunks)
      })
    },

    async stream(ref) {
      return attempt(`opening ${name(ref)}`, async () => {
        const answer = await client.send(new GetObjectCommand(locate(ref)))
        return answer.Body as Readable
      })
    },

    async write(ref, body, contentType) {
      await attempt(`writing ${name(ref)}`, () =>
        client.send(new PutObjectCommand({ ...locate(ref), Body: body, ContentType: contentType })),
      )
    },

    async writeFile(ref, path, contentType) {
      const { size } = await stat(path)
      await using file = await open(path)
      const read = async (start: number, end: number) => {
        const body = Buffer.allocUnsafe(end - start)
        const { bytesRead } = await file.read(body, 0, body.length, start)
        if (bytesRead < body.length) throw new Error(`${path} became shorter while it was uploaded`)
        return body
      }
      await store.writeParts(ref, size, read, contentType)
    },

    async writeParts(ref, size, read, contentType) {
      if (size <= smallestPart) return store.write(ref, await read(0, size), contentType)

      const begun = await begin(ref, size, contentType)
      const etags: string[] = []
      const queue = new PQueue({ concurrency: uploadsAtOnce })
      const sendPart = async (index: number) => {
        const start = index * begun.partBytes
        const body = await read(start, Math.min(size, start + begun.partBytes))
        const answer = await attempt(`uploading part ${index + 1} of ${name(ref)}`, () =>
          client.send(
            new UploadPartCommand({
              ...locate(ref),
              UploadId: begun.uploadId,
              PartNumber: index + 1,
              Body: body,
            }),
          ),
        )
        etags[index] = answer.ETag ?? ''
      }
      try {
        const indices = Array.from({ length: partCount(size, begun.partBytes) }, (_, index) => index)
        await Promise.all(indices.map((index) => queue.add(() => sendPart(index))))
        await store.completeUpload(begun, etags, size)
      } catch (error) {
        queue.clear()
        await queue.onIdle()
        await store.abandonUpload(begun).catch(() => {}) // R2 forgets it after 7 days anyway
        throw error
      }
    },

    async writeOnce(ref, body, contentType) {
      let lostAnswers = 0
      const put = async () => {
        try {
          await client.send(
            new PutObjectCommand({ ...locate(ref), Body: body, ContentType: contentType, IfNoneMatch: '*' }),
          )
          return true
        } catch (error) {
          if (statusOf(error) === 412) return false
          lostAnswers++
          throw error
        }
      }
      const written = await attempt(`publishing ${name(ref)}`, put)
      if (written || lostAnswers === 0) return written
      // An earlier try may have been the one that wrote it, its answer lost.
      return (await store.read(ref)).equals(Buffer.from(body))
    },

    async list(bucket, prefix) {
      const found: (ObjectRef & { size: number })[] = []
      let ContinuationToken: string | undefined
      do {
        const query = new ListObjectsV2Command({ Bucket: buckets[bucket], Prefix: prefix, ContinuationToken })
        const page = await attempt(`listing ${bucket}/${prefix}`, () => client.send(query))
        for (const { Key, Size } of page.Contents ?? [])
          found.push({ bucket, key: Key ?? '', size: Size ?? 0 })
        ContinuationToken = page.IsTruncated ? page.NextContinuationToken : undefined
      } while (ContinuationToken)
      return found
    },

    async copy(from, to) {
      const doing = `copying ${name(from)} to ${name(to)}`
      const head = await attempt(doing, () => client.send(new HeadObjectCommand(locate(from))))
      const size = head.ContentLength ?? 0
      const source = { CopySource: sourceOf(locate(from)), CopySourceIfMatch: head.ETag }
      if (size <= copyPartBytes) {
        await attempt(doing, () => client.send(new CopyObjectCommand({ ...locate(to), ...source })))
        return
      }
      const begun = await begin(to, size, head.ContentType ?? 'application/octet-stream')
      const partBytes = partBytesFor(size, copyPartBytes)
      const copyPart = async (index: number) => {
        const last = Math.min(size, (index + 1) * partBytes) - 1
        const part = new UploadPartCopyCommand({
          ...locate(to),
          ...source,
          UploadId: begun.uploadId,
          PartNumber: index + 1,
          CopySourceRange: `bytes=${index * partBytes}-${last}`,
        })
        return (await attempt(doing, () => client.send(part))).CopyPartResult?.ETag ?? ''
      }
      const queue = new PQueue({ concurrency: uploadsAtOnce })
      try {
        const indices = Array.from({ length: partCount(size, partBytes) }, (_, index) => index)
        const etags = await Promise.all(indices.map((index) => queue.add(() => copyPart(index))))
        await store.completeUpload(begun, etags, size)
      } catch (error) {
        queue.clear()
        await queue.onIdle()
        await store.abandonUpload(begun).catch(() => {})
        throw error
      }
    },

    async remove(ref) {
      await attempt(`removing ${name(ref)}`, () => client.send(new DeleteObjectCommand(locate(ref))))
    },

    presignRead: (ref, seconds) => getSignedUrl(client, new GetObjectCommand(locate(ref)), validFor(seconds)),

    presignWrite: (ref, seconds) =>
      getSignedUrl(client, new PutObjectCommand(locate(ref)), validFor(seconds)),

    async beginUpload(ref, size, contentType, seconds) {
      const begun = await begin(ref, size, contentType)
      const sign = (_: unknown, index: number) =>
        getSignedUrl(
          client,
          new UploadPartCommand({ ...locate(ref), UploadId: begun.uploadId, PartNumber: index + 1 }),
          validFor(seconds),
        )
      const urls = await Promise.all(Array.from({ length: partCount(size, begun.partBytes) }, sign))
      return { ...begun, urls }
    },

    async completeUpload(upload, etags, size) {
      const parts = etags.map((ETag, index) => ({ ETag, PartNumber: index + 1 }))
      const complete = new CompleteMultipartUploadCommand({
        ...locate(upload.ref),
        UploadId: upload.uploadId,
        MultipartUpload: { Parts: parts },
      })
      // Completed before, or by a try whose answer was lost: the look decides, whatever the answer was.
      const answer = await attempt(`completing ${name(upload.ref)}`, () => client.send(complete)).catch(
        (error: Error) => error,
      )
      const complaint = whatIsWrong(await store.info(upload.ref), size, etags)
      if (complaint === undefined) return
      const cause = answer instanceof Error ? answer : undefined
      throw new Failure(
        'store-failed',
        cause?.message ?? `the upload of ${name(upload.ref)} went wrong: ${complaint}`,
        { cause },
      )
    },

    async abandonUpload(upload) {
      const abort = new AbortMultipartUploadCommand({ ...locate(upload.ref), UploadId: upload.uploadId })
      await attempt(`abandoning the upload of ${name(upload.ref)}`, () => client.send(abort)).catch(
        (error) => {
          if (statusOf(error) !== 404) throw error
        },
      )
    },

    publicUrl: (key) => (publicUrl ? publicUrlOf(publicUrl, key) : `s3://${buckets.models}/${key}`),
  }

  async function begin(ref: ObjectRef, size: number, contentType: string): Promise<Upload> {
    if (size < 1) throw new Failure('store-failed', `${name(ref)} would be empty: there is nothing to upload`)
    const create = new CreateMultipartUploadCommand({ ...locate(ref), ContentType: contentType })
    const { UploadId } = await attempt(`beginning the upload of ${name(ref)}`, () => client.send(create))
    return { ref, uploadId: UploadId ?? '', partBytes: partBytesFor(size, smallestPart), urls: [] }
  }

  return store
}

/** As the header wants it: encoded, slashes left. */
function sourceOf({ Bucket, Key }: { readonly Bucket: string; readonly Key: string }): string {
  return [Bucket, ...Key.split('/')].map(encodeURIComponent).join('/')
}

function name(ref: ObjectRef): string {
  return `${ref.bucket}/${ref.key}`
}

/** The ETag of a multipart object is the MD5 of its parts' MD5s, then `-<parts>`. */
function whatIsWrong(
  info: ObjectInfo | undefined,
  size: number,
  etags: readonly string[],
): string | undefined {
  if (!info) return 'it is not there'
  if (info.size !== size) return `it has ${info.size} bytes instead of ${size}`
  const parts = partsInEtag(info.etag)
  if (parts !== etags.length) return `it is of ${parts ?? 'no'} parts instead of ${etags.length}`
  const sums = etags.map((etag) => Buffer.from(etag.replaceAll('"', ''), 'hex'))
  if (sums.some((sum) => sum.length !== 16)) return undefined // parts' ETags that are no MD5s prove nothing more
  const expected = createHash('md5').update(Buffer.concat(sums)).digest('hex')
  return info.etag.includes(expected) ? undefined : 'its ETag is not that of the parts that were sent'
}
