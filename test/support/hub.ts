/**
 * A hub on this computer: the requests that a copy makes, answered and refused as the real one does, large
 * files from a second address that takes no credentials beside its own signature, as a CDN's.
 */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type HubModel = {
  readonly commit: string
  /** Branches and tags beside `main`. */
  readonly revisions?: readonly string[]
  readonly card?: Readonly<Record<string, unknown>>
  readonly gated?: boolean
  readonly private?: boolean
  readonly files: Readonly<Record<string, Buffer | string>>
}

export type TestHub = {
  readonly url: string
  /** `resolve` and CDN requests for file contents, as `path` or `path bytes=0-9`. */
  readonly fetched: string[]
  /** Called with each answer of the CDN before it is sent; may break it. */
  onDownload: ((path: string, response: ServerResponse, body: Buffer) => Buffer | 'cut' | number) | undefined
  close(): Promise<void>
}

export const tokens = { allowed: 'hf_canary_allowed', stranger: 'hf_canary_stranger' } as const

/** As the hub: weights are kept by LFS, texts in git itself. */
const isLarge = (path: string) => /\.(safetensors|bin|model|onnx|msgpack)$/.test(path)
const pageEntries = 4

export async function startHub(models: Readonly<Record<string, HubModel>>): Promise<TestHub> {
  const fetched: string[] = []
  const cdn = createServer((request, response) => {
    const { pathname, searchParams } = addressOf(request)
    if (request.headers.authorization !== undefined)
      return end(response, 400, {}, 'Only one auth mechanism allowed')
    if (searchParams.get('signature') !== sum(pathname)) return end(response, 403)
    const [owner, name, ...rest] = pathname.slice(1).split('/')
    const path = rest.join('/')
    const body = bodyOf(models[`${owner}/${name}`]?.files[path] ?? '')
    fetched.push([path, request.headers.range].filter(Boolean).join(' '))
    const fault = hub.onDownload?.(path, response, body) ?? body
    if (typeof fault === 'number') return end(response, fault)
    if (fault !== 'cut') return content(request, response, fault)
    response.writeHead(206, { 'content-length': '1000', 'content-range': `bytes 0-999/${body.length}` })
    response.write(body.subarray(0, 10), () => response.destroy())
  })
  const api = createServer((request, response) => answer(request, response))
  const [cdnUrl, url] = [await listen(cdn), await listen(api)]

  function answer(request: IncomingMessage, response: ServerResponse) {
    const { pathname, searchParams } = addressOf(request)
    const token = request.headers.authorization?.replace('Bearer ', '')
    const isKnown = token === tokens.allowed || token === tokens.stranger
    if (token !== undefined && !isKnown)
      return refuse(response, 401, '', 'Invalid credentials in Authorization header')

    const match =
      /^\/api\/models\/([^/]+\/[^/]+)\/(revision|tree)\/([^/]+)$/.exec(pathname) ??
      /^\/([^/]+\/[^/]+)\/(resolve)\/([^/]+)\/(.+)$/.exec(pathname)
    const [, repository = '', verb, revision = '', path = ''] = match ?? []
    const model = models[repository]
    if (!model || (model.private && token !== tokens.allowed))
      return refuse(response, token ? 404 : 401, 'RepoNotFound', 'Invalid username or password.')
    if (![model.commit, 'main', ...(model.revisions ?? [])].includes(decodeURIComponent(revision)))
      return refuse(response, 404, 'RevisionNotFound', `Invalid rev id: ${revision}`)
    if (verb === 'revision') return json(response, infoOf(repository, model))
    if (verb === 'tree') return tree(response, model, pathname, Number(searchParams.get('cursor') ?? 0))

    if (model.gated && token !== tokens.allowed)
      return refuse(response, token ? 403 : 401, 'GatedRepo', `Access to model ${repository} is restricted.`)
    const file = model.files[path]
    if (file === undefined) return refuse(response, 404, 'EntryNotFound', 'Entry not found')
    const body = bodyOf(file)
    const linked = {
      'x-repo-commit': model.commit,
      'x-linked-size': body.length,
      'x-linked-etag': `"${sum(body)}"`,
    }
    if (!isLarge(path)) {
      fetched.push(path)
      return content(request, response, body, { etag: `"${sum(body).slice(0, 40)}"` })
    }
    if (request.headers.accept?.includes('application/vnd.xet-fileinfo+json')) {
      const link = `<${url}/xet-auth>; rel="xet-auth", <${cdnUrl}/xet>; rel="xet-reconstruction-info"`
      const type = 'application/vnd.xet-fileinfo+json'
      return end(response, 200, { ...linked, link, 'x-xet-hash': sum(body), 'content-type': type }, '{}')
    }
    const place = `/${repository}/${path}`
    end(response, 302, { ...linked, location: `${cdnUrl}${place}?signature=${sum(place)}` })
  }

  function tree(response: ServerResponse, model: HubModel, pathname: string, from: number): void {
    const entries = Object.entries(model.files).map(([path, file]) => {
      const [size, oid] = [bodyOf(file).length, sum(file)]
      const lfs = isLarge(path) && { lfs: { oid, size, pointerSize: 130 } }
      return { type: 'file', path, size, oid: oid.slice(0, 40), ...lfs }
    })
    const folders = new Set(
      entries.filter(({ path }) => path.includes('/')).map(({ path }) => path.split('/')[0]),
    )
    const all = [...[...folders].map((path) => ({ type: 'directory', path, size: 0, oid: '' })), ...entries]
    const next = from + pageEntries
    const link = next < all.length && {
      link: `<${url}${pathname}?recursive=true&cursor=${next}>; rel="next"`,
    }
    json(response, all.slice(from, next), link || {})
  }

  const hub: TestHub = {
    url,
    fetched,
    onDownload: undefined,
    async close() {
      for (const server of [api, cdn]) {
        server.closeAllConnections()
        await new Promise((closed) => server.close(closed))
      }
    },
  }
  return hub
}

function infoOf(name: string, { commit, card, gated = false, private: hidden = false }: HubModel) {
  const info = {
    _id: '0'.repeat(24),
    id: name,
    private: hidden,
    gated: gated && 'manual',
    downloads: 1,
    likes: 1,
  }
  return { ...info, lastModified: '2026-11-01T00:00:00.000Z', sha: commit, ...(card && { cardData: card }) }
}

function content(
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
  headers: Record<string, string> = {},
) {
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')
  if (!range) return end(response, 200, headers, body)
  const [from, to] = [Number(range[1]), Math.min(Number(range[2]), body.length - 1)]
  if (from > to) return end(response, 416, { 'content-range': `bytes */${body.length}` })
  const part = { ...headers, 'content-range': `bytes ${from}-${to}/${body.length}` }
  end(response, 206, part, body.subarray(from, to + 1))
}

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  const headers = { 'x-error-message': message, ...(code && { 'x-error-code': code }) }
  json(response, { error: message }, headers, status)
}

function json(response: ServerResponse, body: unknown, headers = {}, status = 200): void {
  end(response, status, { 'content-type': 'application/json', ...headers }, JSON.stringify(body))
}

function end(response: ServerResponse, status: number, headers = {}, body: Buffer | string = ''): void {
  response.writeHead(status, headers).end(body)
}

function addressOf(request: IncomingMessage): URL {
  return new URL(request.url ?? '/', 'http://hub')
}

function bodyOf(file: Buffer | string): Buffer {
  return typeof file === 'string' ? Buffer.from(file) : file
}

/** Large files' sums, once each: they are told with every answer. */
const sums = new WeakMap<Buffer, string>()

function sum(body: Buffer | string): string {
  const known = typeof body === 'string' ? undefined : sums.get(body)
  const found = known ?? createHash('sha256').update(body).digest('hex')
  if (typeof body !== 'string') sums.set(body, found)
  return found
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
