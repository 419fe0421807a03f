/** URL of `key` below a public base URL; each segment is encoded, slashes stay. */
export function publicUrlOf(base: string, key: string): string {
  return `${base.replace(/\/+$/, '')}/${key.split('/').map(encodeURIComponent).join('/')}`
}
