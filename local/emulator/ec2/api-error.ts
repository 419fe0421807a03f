/** A refusal of the emulator, in the words of the service that it stands for. */
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

  readonly #call: Call

  /** `attempts`: how often it was asked in all, where it was asked again. */
  constructor(call: Call, code: string, detail: string, status = 400, attempts?: number) {
    const { doing, service = 'EC2', operation } = call
    super(
      `${doing}: operation error ${service}: ${operation}, ` +
        `${attempts === undefined ? '' : `exceeded maximum number of attempts, ${attempts}, `}` +
        `https response error StatusCode: ${status}, ` +
        `RequestID: ${randomUUID()}, api error ${code}: ${detail}`,
    )
    this.name = 'ApiError'
    this.code = code
    this.detail = detail
    this.status = status
    this.#call = call
  }

  /** As the provider words it once it has given up. */
  after(attempts: number): ApiError {
    return new ApiError(this.#call, this.code, this.detail, this.status, attempts)
  }
}
