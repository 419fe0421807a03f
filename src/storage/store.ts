/** The object store (Cloudflare R2), in the few verbs that a training needs. */
export type Bucket = 'datasets' | 'models' | 'bases' | 'work'

export type ObjectRef = { readonly bucket: Bucket; readonly key: string }

export type ObjectInfo = { readonly size: number; readonly etag: string }

/** A multipart upload that the machine does with presigned URLs: equal parts but the last. */
export type Upload = {
  readonly ref: ObjectRef
  readonly uploadId: string
  readonly partBytes: number
  /** One presigned PUT a part, in order. */
  readonly urls: readonly string[]
}

export interface Store {
  info(ref: ObjectRef): Promise<ObjectInfo | undefined>
  /** The whole object, or `range` (bytes, end included); Failure('store-failed') after the retries. */
  read(
    ref: ObjectRef,
    options?: { readonly maxBytes?: number; readonly range?: readonly [number, number] },
  ): Promise<Buffer>
  stream(ref: ObjectRef): Promise<NodeJS.ReadableStream>
  write(ref: ObjectRef, body: Buffer | string, contentType: string): Promise<void>
  /** Uploads a file of this computer, by multipart where it is large. */
  writeFile(ref: ObjectRef, path: string, contentType: string): Promise<void>
  /**
   * Uploads `size` bytes that `read` gives from `start` to `end`, the latter not included. Parts are asked
   * for in order, and four of them are held at most. Where `read` rejects there is no object.
   */
  writeParts(
    ref: ObjectRef,
    size: number,
    read: (start: number, end: number) => Promise<Buffer>,
    contentType: string,
  ): Promise<void>
  /** `If-None-Match: *`: true if written, false if there was one already. */
  writeOnce(ref: ObjectRef, body: Buffer | string, contentType: string): Promise<boolean>
  list(bucket: Bucket, prefix: string): Promise<readonly (ObjectRef & { readonly size: number })[]>
  /** Within the store, content type included. Of what was there when it began, or Failure('store-failed'). */
  copy(from: ObjectRef, to: ObjectRef): Promise<void>
  remove(ref: ObjectRef): Promise<void>
  presignRead(ref: ObjectRef, seconds: number): Promise<string>
  presignWrite(ref: ObjectRef, seconds: number): Promise<string>
  beginUpload(ref: ObjectRef, size: number, contentType: string, seconds: number): Promise<Upload>
  /** Completes, then looks: size and part count must be right. Safe to repeat. */
  completeUpload(upload: Upload, etags: readonly string[], size: number): Promise<void>
  abandonUpload(upload: Upload): Promise<void>
  /** Address of an object in the models bucket: on its public domain, or `s3://bucket/key` where it has none. */
  publicUrl(key: string): string
}
