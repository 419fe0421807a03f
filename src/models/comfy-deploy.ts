/** ComfyUI by way of ComfyDeploy: its API is told of a link and fetches the file by itself. */
import { z } from 'zod'
import { fetch } from '../fetch.ts'
import { isConnectionError, isTransientStatus, type RetryPolicy, retry } from '../retry.ts'
import type { Secret } from '../secret.ts'
import { cut } from '../text.ts'
import type { ComfyUi, PublishedFile } from './comfyui.ts'

export type ComfyDeployOptions = {
  /** Such as `https://api.comfydeploy.com`. */
  readonly endpoint: string
  readonly key: Secret
  readonly retry?: RetryPolicy
  /** Milliseconds for one request. Default 30,000. */
  readonly timeoutMs?: number
}

const answerSchema = z
  .object({ id: z.string().min(1), fileId: z.string().min(1) })
  .partial()
  .transform(({ id, fileId }) => id ?? fileId)
  .refine((id) => id !== undefined)

export function comfyDeploy(options: ComfyDeployOptions): ComfyUi {
  const { endpoint, key, timeoutMs = 30_000 } = options
  const url = new URL('/api/volume/model', endpoint)

  const post = async (file: PublishedFile): Promise<string> => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { authorization: `Bearer ${key.reveal()}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        source: 'link',
        folderPath: 'loras',
        filename: file.filename,
        downloadLink: file.url,
      }),
      redirect: 'error', // the key is for this host only
      signal: AbortSignal.timeout(timeoutMs),
    })
    const text = await response.text()
    if (!response.ok) throw new ComfyDeployRefused(response.status, redact(text, key))
    const id = answerSchema.safeParse(parseJson(text)).data
    if (!id) throw new Error(`ComfyDeploy took ${file.filename}, but its answer has neither id nor fileId`)
    return id
  }

  return { install: (file) => retry(() => post(file), isTransient, options.retry) }
}

class ComfyDeployRefused extends Error {
  readonly status: number

  constructor(status: number, answer: string) {
    super(`ComfyDeploy answered ${status}: ${cut(answer, 300).trim() || 'nothing'}`)
    this.name = 'ComfyDeployRefused'
    this.status = status
  }
}

function isTransient(error: unknown): boolean {
  return error instanceof ComfyDeployRefused ? isTransientStatus(error.status) : isConnectionError(error)
}

/** Some services repeat the header that they refuse. */
function redact(text: string, key: Secret): string {
  return text.replaceAll(key.reveal(), '[redacted]')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
