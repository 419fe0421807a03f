/** A refusal of the stand-in, in the words of the service that it stands for. */
import { randomUUID } from 'node:crypto'

/** What was being done, as the Terraform provider under Pulumi's says it, and the call that was refused. */
export type Call = {
  /** Such as `creating EC2 Instance`. */
  readonly doing: string
  readonly service?: string
  /** Such as `RunInstances`. */
  readonly operation: string
}

export class ApiError extends Error {
  readonly code: string
  readonly detail: string
  readonly status: number

  constructor(call: Call, code: string, detail: string, status = 400) {
    const { doing, service = 'EC2', operation } = call
    super(
      `${doing}: operation error ${service}: ${operation}, https response error StatusCode: ${status}, ` +
        `RequestID: ${randomUUID()}, api error ${code}: ${detail}`,
    )
    this.name = 'ApiError'
    this.code = code
    this.detail = detail
    this.status = status
  }
}
