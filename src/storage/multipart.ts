/** Arithmetic of multipart uploads: R2 wants 5 MiB–5 GiB a part, 10,000 at most, all equal but the last. */
const mebibyte = 1024 * 1024
const mostParts = 10_000

/** Small enough that a LoRA of 200 MB goes up in a dozen parts side by side. */
export const defaultPartBytes = 16 * mebibyte

/** Whole mebibytes, never less than `smallest`, as large as the limit on the number of parts demands. */
export function partBytesFor(size: number, smallest = defaultPartBytes): number {
  return Math.max(smallest, Math.ceil(size / mostParts / mebibyte) * mebibyte)
}

export function partCount(size: number, partBytes: number): number {
  return Math.max(1, Math.ceil(size / partBytes))
}

/** An S3 server marks a multipart object's ETag with `-<parts>`; undefined for any other ETag. */
export function partsInEtag(etag: string): number | undefined {
  const match = /-(\d+)"?$/.exec(etag)
  return match ? Number(match[1]) : undefined
}
