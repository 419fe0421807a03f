/** Where R2 keeps buckets, and how it is reached there: https://developers.cloudflare.com/r2/reference/data-location/ */

/** Hints, for the first bucket of a name only. */
export const locations = ['apac', 'eeur', 'enam', 'oc', 'weur', 'wnam'] as const

/** Guarantees, for good: a bucket is in one of them, and only its own endpoint knows it. */
export const jurisdictions = ['default', 'eu', 'fedramp', 'us'] as const

export type Jurisdiction = (typeof jurisdictions)[number]

/** For S3 clients, in the region `auto`. */
export function r2Endpoint(accountId: string, jurisdiction: Jurisdiction): string {
  const place = jurisdiction === 'default' ? '' : `.${jurisdiction}`
  return `https://${accountId}${place}.r2.cloudflarestorage.com`
}
