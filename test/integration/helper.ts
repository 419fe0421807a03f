/** Runs the machine's helper on this computer, against a store that misbehaves as told. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const helperFolder = fileURLToPath(new URL('../../src/remote/machine', import.meta.url))

export type HelperEvent = { readonly event: string; readonly [field: string]: unknown }

/** The last event is `done` or `failed`. */
export const startHelper = (job: object) => {
  const child = spawn(process.env.PYTHON ?? 'python3', ['-B', helperFolder])
  const events: HelperEvent[] = []
  let text = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (text + chunk).split('\n')
    text = lines.pop() ?? ''
    events.push(...lines.map((line) => JSON.parse(line)))
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk
  })
  child.stdin.write(`${JSON.stringify({ pause: 0.001, ...job })}\n`)
  const ended = once(child, 'close').then(() => {
    const last = events.at(-1)
    if (last?.event !== 'done' && last?.event !== 'failed') throw new Error(`the helper died: ${stderr}`)
    return last
  })
  ended.catch(() => {})
  return { child, events, ended }
}

export const helper = (job: object): Promise<HelperEvent> => startHelper(job).ended

export type Answer = (request: IncomingMessage, response: ServerResponse, count: number) => boolean

/** Objects by path, with ranges; `misbehave` answers instead where it returns true. */
export const startStore = async (misbehave: Answer = () => false, address = '127.0.0.1') => {
  const objects = new Map<string, Buffer>()
  const requests: string[] = []
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://store').pathname
    requests.push(`${request.method} ${path} ${request.headers.range ?? ''}`.trim())
    if (misbehave(request, response, requests.length)) return
    if (request.method === 'PUT') return receive(request, response, objects, path)
    const object = objects.get(path)
    if (!object) return void response.writeHead(404).end()
    sendRange(request, response, object)
  })
  server.listen(0, address)
  await once(server, 'listening')
  return {
    objects,
    requests,
    url: (path: string) =>
      `http://${address}:${(server.address() as AddressInfo).port}${path}?X-Signature=secret`,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}

const receive = (
  request: IncomingMessage,
  response: ServerResponse,
  objects: Map<string, Buffer>,
  path: string,
) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const body = Buffer.concat(chunks)
    objects.set(path, body)
    response.writeHead(200, { etag: `"${md5(body)}"` }).end()
  })
}

/** Sends what was asked for, or only its first `most` bytes and then cuts the connection. */
export const sendRange = (
  request: IncomingMessage,
  response: ServerResponse,
  object: Buffer,
  most = Number.POSITIVE_INFINITY,
): void => {
  const [, from = 0, to = object.length - 1] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? []
  const body = object.subarray(Number(from), Number(to) + 1)
  response.writeHead(206, {
    'content-length': body.length,
    'content-range': `bytes ${from}-${to}/${object.length}`,
  })
  if (most >= body.length) response.end(body)
  else response.write(body.subarray(0, most), () => request.socket.destroy())
}

export const md5 = (bytes: Buffer): string => createHash('md5').update(bytes).digest('hex')

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

/** A folder in place of /job, filled with `files`. */
export const jobFolder = (files: Readonly<Record<string, string | Buffer>> = {}) => {
  const root = mkdtempSync(join(tmpdir(), 'bellows-job-'))
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), content)
  }
  return { root, remove: () => rmSync(root, { recursive: true, force: true }) }
}
