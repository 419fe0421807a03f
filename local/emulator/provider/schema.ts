/** Forms that many inputs share. The lists of allowed values are AWS's and Cloudflare's. */
import { z } from 'zod'
import { isNetwork } from '../../../infra/worker-networks.ts'

/** At most 50; keys of up to 128 and values of up to 256 characters, none beginning with `aws:`. */
export const tags = z
  .record(z.string().min(1).max(128), z.string().max(256))
  .refine((map) => Object.keys(map).length <= 50, 'no more than 50 tags')
  .refine((map) => !Object.keys(map).some((key) => key.startsWith('aws:')), "no tag may begin with 'aws:'")
  .optional()

export const cidr = z
  .cidrv4({ abort: true })
  .refine(isNetwork, 'is not a valid CIDR block: it has bits beyond its prefix')

export const port = z.int().min(-1).max(65_535)

export const json = z.string().refine((text) => {
  try {
    return typeof JSON.parse(text) === 'object'
  } catch {
    return false
  }
}, 'contains an invalid JSON policy')
