import { randomBytes } from 'node:crypto'
import { accountId, localRegion } from '../../ec2/catalog.ts'

/** Such as `vpc-0123456789abcdef0`. */
export const newId = (prefix: string): string => `${prefix}-0${randomBytes(8).toString('hex')}`

export const arnOf = (service: string, resource: string): string =>
  `arn:aws:${service}:${service === 'iam' ? '' : localRegion}:${accountId}:${resource}`
