/**
 * The object store of the local cloud: versitygw, an S3 server whose objects are plain files below
 * `<dir>/<bucket>/`. Buckets are made through its API, by the infrastructure program or a test.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fetch } from '../../src/fetch.ts'
import { Secret } from '../../src/secret.ts'

export type ObjectStoreOptions = {
  /** Address to listen on; machines must reach it too. Default 127.0.0.1. */
  readonly host?: string
  /** Default: any free one. */
  readonly port?: number
  /** Default: made up at each start. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: Secret }
}

export type ObjectStore = {
  readonly endpoint: string
  readonly region: 'us-east-1'
  readonly accessKeyId: string
  readonly secretAccessKey: Secret
  readonly pid: number
  stop(): Promise<void>
}

const startLimitMs = 15_000
const stopLimitMs = 5_000

/** Starts the versitygw at `binary` on the objects in `dir`, and waits until it answers. */
export async function startObjectStore(
  binary: string,
  dir: string,
  options: ObjectStoreOptions = {},
): Promise<ObjectStore> {
  const { host = '127.0.0.1', port = await freePort(host) } = options
  const { accessKeyId, secretAccessKey } = options.credentials ?? {
    accessKeyId: `local-${randomBytes(6).toString('hex')}`,
    secretAccessKey: new Secret(randomBytes(24).toString('hex')),
  }
  await mkdir(dir, { recursive: true })
  await mendUploads(dir)

  // A path that no other server answers, so that another server on the port isn't taken for this one.
  const health = `/health-${randomBytes(8).toString('hex')}`
  // No --keep-alive: with it a good part of streamed PUTs failed.
  const process = spawn(binary, ['--port', `${host}:${port}`, '--health', health, '--quiet', 'posix', dir], {
    env: { ROOT_ACCESS_KEY: accessKeyId, ROOT_SECRET_KEY: secretAccessKey.reveal() },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let complaints = ''
  process.stderr.on('data', (chunk) => {
    complaints = (complaints + chunk).slice(-2_000)
  })
  const ended = once(process, 'exit').catch((error: Error) => {
    complaints = error.message
  })
  let hasEnded = false
  ended.then(() => {
    hasEnded = true
  })

  const stop = async () => {
    process.kill('SIGTERM')
    const overdue = setTimeout(() => process.kill('SIGKILL'), stopLimitMs)
    await ended
    clearTimeout(overdue)
  }

  const endpoint = `http://${host}:${port}`
  const deadline = Date.now() + startLimitMs
  while (!(await answers(endpoint + health))) {
    if (hasEnded) throw new Error(`The object store ended at its start: ${complaints.trim()}`)
    if (Date.now() > deadline) {
      await stop()
      throw new Error(`The object store did not answer on ${endpoint} within ${startLimitMs / 1000} s`)
    }
    await sleep(10)
  }
  return { endpoint, region: 'us-east-1', accessKeyId, secretAccessKey, pid: process.pid ?? 0, stop }
}

/**
 * A server killed while it completed an upload has left the parts in `<upload id>.<sum>.inprogress`,
 * where no later try would find them: gives the folder its name back.
 */
export async function mendUploads(dir: string): Promise<void> {
  for (const bucket of await readdir(dir)) {
    const scratch = join(dir, bucket, '.sgwtmp', 'multipart')
    for (const object of await readdir(scratch).catch(() => [])) {
      for (const leftover of await readdir(join(scratch, object))) {
        if (!leftover.endsWith('.inprogress')) continue
        const uploadId = leftover.split('.')[0] ?? leftover
        await rm(join(scratch, object, uploadId), { recursive: true, force: true })
        await rename(join(scratch, object, leftover), join(scratch, object, uploadId))
      }
    }
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok
  } catch {
    return false
  }
}

async function freePort(host: string): Promise<number> {
  const server = createServer().listen(0, host)
  await once(server, 'listening')
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error(`No free port on ${host}`)
  return address.port
}
