/**
 * `bellows sync`: brings finished models into a ComfyUI's `models/loras`. A file appears there whole, with
 * the right sum, or not at all. Files of others are never touched: what this command has written is in
 * `.bellows-sync.json`, and only that may it replace, by a file of the same model. Links in the folder are not followed,
 * and no redirect is: what is planted there, or answered, can't make it write or ask elsewhere.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { lstat, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { fetch } from '../fetch.ts'
import { isConnectionError, isTransientStatus, type RetryPolicy, retry } from '../retry.ts'
import type { Secret } from '../secret.ts'
import type { PublishedFile } from './comfyui.ts'

export type SyncOptions = {
  /** The worker's address, such as `https://bellows.example:8080`. */
  readonly from: string
  readonly token: Secret
  /** ComfyUI's `models/loras`. */
  readonly to: string
  readonly onFile?: (filename: string, what: 'downloaded' | 'refused', detail: string) => void
  readonly retry?: RetryPolicy
  readonly signal?: AbortSignal
}

export type Synced = { readonly downloaded: readonly string[]; readonly refused: readonly string[] }

type Listed = PublishedFile

/** Bytes of a list; an entry with a presigned link takes some 700. */
const longestList = 16 * 1024 * 1024
const mostFiles = 20_000

/** What the worker answers to `GET /comfyui/files`; it may say more. */
const fileSchema = z.object({
  modelId: z.string().min(1),
  filename: z.string(),
  url: z.url({ protocol: /^https?$/ }),
  size: z.int().positive(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
})
const listSchema = z.array(fileSchema).max(mostFiles)

const stateName = '.bellows-sync.json'
const stateSchema = z.record(z.string(), z.object({ sha256: z.string(), modelId: z.string().optional() }))

/** One pass. A file that can't be fetched is reported and doesn't hold up the others. */
export async function syncComfyUi(options: SyncOptions): Promise<Synced> {
  const { to, onFile = () => {}, signal } = options
  const files = await list(options)
  await mkdir(to, { recursive: true })
  const ours = await readState(to)
  const downloaded: string[] = []
  const refused: string[] = []

  for (const file of files) {
    signal?.throwIfAborted()
    try {
      checkName(file.filename)
      if (await isThere(to, file, ours)) continue
      await download(file, options)
      ours.set(file.filename, { sha256: file.sha256, modelId: file.modelId })
      await writeState(to, ours)
      downloaded.push(file.filename)
      onFile(file.filename, 'downloaded', `${file.size} bytes`)
    } catch (error) {
      signal?.throwIfAborted()
      refused.push(file.filename)
      onFile(file.filename, 'refused', error instanceof Error ? error.message : String(error))
    }
  }
  return { downloaded, refused }
}

/** Passes until the signal; a worker that doesn't answer is asked again next time. */
export async function watchComfyUi(
  options: SyncOptions & { readonly signal: AbortSignal },
  everyMs: number,
  onError: (error: Error) => void,
): Promise<void> {
  while (!options.signal.aborted) {
    try {
      await syncComfyUi(options)
      await sleep(everyMs, undefined, { signal: options.signal })
    } catch (error) {
      if (options.signal.aborted) return
      onError(error as Error)
      await sleep(everyMs, undefined, { signal: options.signal }).catch(() => {})
    }
  }
}

async function list({ from, token, retry: policy, signal }: SyncOptions): Promise<readonly Listed[]> {
  const url = new URL('/comfyui/files', from)
  return retry(
    async () => {
      const response = await fetch(url, {
        headers: { authorization: `Bearer ${token.reveal()}` },
        redirect: 'error', // the token is for this host only
        ...(signal && { signal }),
      })
      if (!response.ok) throw new HttpError(url, response.status)
      return listSchema.parse(JSON.parse(await readText(response, longestList)))
    },
    isTransient,
    { ...policy, signal },
  )
}

async function readText(response: Response, mostBytes: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    if (size > mostBytes) throw new Error(`the list of files is longer than ${mostBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

/** A name that stays in its folder on every system, and is a model's. */
function checkName(name: string): void {
  const plain = /^[^/\\:*?"<>|\p{Cc}]{1,200}\.safetensors$/u.test(name) && !name.startsWith('.')
  if (!plain) throw new Error('it is not a plain name of a .safetensors file')
}

/** Throws if a foreign file is in the way. */
async function isThere(folder: string, file: Listed, ours: ReadonlyMap<string, State>): Promise<boolean> {
  const path = join(folder, file.filename)
  const found = await lookAt(path)
  if (!found) return false
  if (!found.isFile()) throw new Error('something that is no plain file is in its place')
  const mine = ours.get(file.filename)
  if (mine?.sha256 === file.sha256 && found.size === file.size) return true
  if (mine?.modelId === file.modelId) return false
  if (mine) throw new Error('a file of another model has that name already')
  if (found.size === file.size && (await sha256Of(path)) === file.sha256) return true
  throw new Error('another file of that name is there already')
}

async function download(file: Listed, { to, retry: policy, signal }: SyncOptions): Promise<void> {
  const part = join(to, `.${file.filename}.part`)
  try {
    await retry(() => fetchTo(part, file, signal), isTransient, { ...policy, signal })
    await rename(part, join(to, file.filename))
  } finally {
    await rm(part, { force: true })
  }
}

async function fetchTo(part: string, file: Listed, signal: AbortSignal | undefined): Promise<void> {
  const response = await fetch(file.url, { redirect: 'manual', ...(signal && { signal }) })
  if (response.status >= 300 && response.status < 400) {
    throw new Error('its address leads to another one, and that is not followed')
  }
  if (!response.ok || !response.body) throw new HttpError(file.url, response.status)
  const hash = createHash('sha256')
  let size = 0
  await using output = await openNew(part)
  for await (const chunk of response.body) {
    size += chunk.length
    if (size > file.size) throw new Error(`it is longer than the ${file.size} bytes promised`)
    hash.update(chunk)
    await output.writeFile(chunk)
  }
  if (size < file.size) throw new CutOff(`it ended after ${size} of ${file.size} bytes`)
  if (hash.digest('hex') !== file.sha256) throw new Error('its sha256 is not the one promised')
  await output.sync()
}

class CutOff extends Error {}

class HttpError extends Error {
  readonly status: number

  constructor(url: URL | string, status: number) {
    super(`${url} answered ${status}`)
    this.status = status
  }
}

function isTransient(error: unknown): boolean {
  if (error instanceof HttpError) return isTransientStatus(error.status)
  return error instanceof CutOff || isConnectionError(error)
}

type State = Readonly<z.infer<typeof stateSchema>[string]>

async function readState(folder: string): Promise<Map<string, State>> {
  const path = join(folder, stateName)
  const text = (await lookAt(path))?.isFile() ? await readFile(path, 'utf8') : '{}'
  return new Map(Object.entries(stateSchema.parse(JSON.parse(text))))
}

async function writeState(folder: string, state: ReadonlyMap<string, State>): Promise<void> {
  const path = join(folder, stateName)
  await using output = await openNew(`${path}.part`)
  await output.writeFile(JSON.stringify(Object.fromEntries(state), null, 2))
  await rename(`${path}.part`, path)
}

/** What is there itself, not what it points to. */
async function lookAt(path: string) {
  return lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
}

/** In place of whatever has that name; a link goes, and what it points to stays as it is. */
async function openNew(path: string) {
  await rm(path, { force: true })
  return open(path, 'wx')
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash)
  return hash.digest('hex')
}
