/** Questions that programs ask of AWS before they declare anything. */
import { z } from 'zod'
import { ApiError } from '../ec2/api-error.ts'
import { accountId, imageId, imageParameter, localRegion, zones } from '../ec2/catalog.ts'
import type { Properties } from './state.ts'

const region = { region: localRegion }

const invokes: Readonly<Record<string, (given: Properties) => Properties>> = {
  'aws:index/getRegion:getRegion': (given) => {
    z.strictObject({}).parse(given)
    return { ...region, id: localRegion, name: localRegion, description: 'this computer', endpoint: '' }
  },
  'aws:index/getCallerIdentity:getCallerIdentity': () => ({
    id: accountId,
    accountId,
    arn: `arn:aws:iam::${accountId}:user/local`,
    userId: 'LOCAL',
  }),
  'aws:index/getAvailabilityZones:getAvailabilityZones': (given) => {
    const filter = z.strictObject({ name: z.string(), values: z.array(z.string()) })
    const state = z.enum(['available', 'information', 'impaired', 'unavailable']).optional()
    const wanted = z.strictObject({ state, filters: z.array(filter).optional() }).parse(given)
    const names = (wanted.state ?? 'available') === 'available' ? zones : []
    return {
      ...region,
      id: localRegion,
      names,
      zoneIds: names.map((name) => `use1-${name}`),
      groupNames: [localRegion],
    }
  },
  'aws:ssm/getParameter:getParameter': (given) => {
    const { name } = z.strictObject({ name: z.string() }).parse(given)
    if (name !== imageParameter) {
      const call = { doing: `reading SSM Parameter (${name})`, service: 'SSM', operation: 'GetParameter' }
      throw new ApiError(call, 'ParameterNotFound', 'The parameter does not exist.')
    }
    return {
      ...region,
      id: name,
      name,
      type: 'String',
      value: imageId,
      insecureValue: imageId,
      version: 1,
      arn: name,
    }
  },
}

export function invoke(token: string, given: Properties): Properties {
  const answer = invokes[token]
  if (!answer) throw new Error(`The local cloud does not answer ${token}`)
  return answer(given)
}
