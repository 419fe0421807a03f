/**
 * Where a dataset's image is in the datasets bucket.
 *
 * A document may say anything, so what it says is never fetched: it is only translated into a key of
 * our own bucket, which is read through the store with the store's endpoint. A URL that isn't below the
 * bucket's public base, with exactly its scheme, host and port, is refused. No name is resolved and no
 * redirect followed, so there is no way to make a worker or a machine call an internal address.
 */
import type { ObjectRef } from '../storage/store.ts'

export type DatasetsBucket = {
  /** Its real name, as in `s3://<name>/key`. */
  readonly name: string
  /** Base URL of its public domain, where it has one. */
  readonly publicUrl?: string | undefined
}

export type Located = { readonly ref: ObjectRef } | { readonly problem: string }

/** Bytes; the S3 protocol's limit on a key. */
const longestKey = 1024

/** Characters of an address: a key of which each byte is escaped, below a domain, with a signature behind it. */
export const longestAddress = 8_192

/** `problem` completes a sentence that begins with the image's number. */
export function locateImage(image: string, bucket: DatasetsBucket): Located {
  if (image.length > longestAddress)
    return { problem: `has an address longer than ${longestAddress} characters` }
  // Parsers of URLs drop tabs and line ends, so these are looked for before one sees the text.
  if (hasControlCharacter(image)) return { problem: 'has a control character in its address' }
  const address = image.trim()
  if (address === '') return { problem: 'has no address' }
  if (address.startsWith('//') || address.startsWith('\\')) return { problem: outside }
  return /^[a-z][a-z0-9+.-]*:/i.test(address) ? locateUrl(address, bucket) : toRef(address.replace(/^\//, ''))
}

const outside = 'is not in the datasets store: only files that were uploaded there can be trained on'

function locateUrl(address: string, bucket: DatasetsBucket): Located {
  const s3 = /^s3:\/\/([^/]*)\/(.*)$/i.exec(address)
  if (s3) return s3[1] === bucket.name ? toRef(s3[2] ?? '') : { problem: outside }
  if (bucket.publicUrl === undefined || !URL.canParse(address)) return { problem: outside }

  const url = new URL(address)
  const base = new URL(bucket.publicUrl)
  const folder = base.pathname.replace(/\/*$/, '/')
  // The host of `https://cdn.example@evil.example/` is not the one that it seems to be.
  const named = url.username !== '' || url.password !== ''
  if (named || url.origin !== base.origin || !url.pathname.startsWith(folder)) return { problem: outside }
  try {
    // Climbing is judged on the text itself: the parser has resolved it away in `pathname`.
    const written = address.slice(address.indexOf('//') + 2).split(/[?#]/)[0] ?? ''
    if (climbs(decodeURIComponent(written))) return { problem: climbing }
    return toRef(decodeURIComponent(url.pathname.slice(folder.length)))
  } catch {
    return { problem: 'has an address with a broken %-escape' }
  }
}

const climbing = 'has an address that climbs out of its folder'

function toRef(key: string): Located {
  if (key === '' || key.endsWith('/')) return { problem: 'has an address that names no file' }
  if (hasControlCharacter(key)) return { problem: 'has a control character in its address' }
  if (climbs(key)) return { problem: climbing }
  if (Buffer.byteLength(key) > longestKey)
    return { problem: `has an address longer than ${longestKey} bytes` }
  return { ref: { bucket: 'datasets', key } }
}

function climbs(path: string): boolean {
  return path.split(/[/\\]/).some((segment) => segment === '..' || segment === '.')
}

function hasControlCharacter(text: string): boolean {
  return /[\p{Cc}\p{Zl}\p{Zp}]/u.test(text)
}
