/** The worker's small web server: a status page, JSON, metrics, and the list that `bellows sync` asks for. */
import { inspect } from 'node:util'
import { serve } from '@hono/node-server'
import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { secureHeaders } from 'hono/secure-headers'
import type { Registry } from 'prom-client'
import { allowedHosts, hostName } from '../addresses.ts'
import type { PublishedFile } from '../models/comfyui.ts'
import { isSecret, type Secret } from '../secret.ts'
import { complain } from '../terminal.ts'
import { jobPage, overviewPage } from './pages.ts'
import type { Status } from './status.ts'

export type WebOptions = {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  /** What it may be asked for by, beside its address and localhost. */
  readonly hostNames: readonly string[]
  /** Demanded by every page but `/healthz` and the list for ComfyUI; undefined: by none. */
  readonly statusToken: Secret | undefined
  readonly status: Status
  readonly metrics: Registry
  /** Files of finished models, for `bellows sync`; undefined if ComfyDeploy takes them. */
  readonly files: (() => Promise<readonly PublishedFile[]>) | undefined
  /** Without a token the list of files is not served. */
  readonly token: Secret | undefined
}

export type WebServer = { readonly url: string; close(): Promise<void> }

export async function startWeb(options: WebOptions): Promise<WebServer> {
  const app = routes(options)
  return new Promise((resolve, reject) => {
    const server = serve({ fetch: app.fetch, hostname: options.host, port: options.port }, ({ port }) => {
      const host = options.host.includes(':') ? `[${options.host}]` : options.host
      resolve({
        url: `http://${host}:${port}`,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed())
            if ('closeAllConnections' in server) server.closeAllConnections()
          }),
      })
    })
    server.once('error', reject)
  })
}

export function routes(options: Omit<WebOptions, 'port'>): Hono {
  const { status, metrics, files, token } = options
  const app = new Hono()
  app.use(headers)
  // For whatever watches the worker, by any name and without a secret: it tells no more than that it lives.
  app.get('/healthz', (context) => {
    const health = status.health()
    return context.json(health, health.healthy ? 200 : 503)
  })
  app.use(knownHost(allowedHosts(options.host, options.hostNames)))
  app.get('/comfyui/files', async (context) => {
    if (!files || !token) return context.json({ error: 'This worker serves no files to ComfyUI.' }, 404)
    if (!isSecret(shownToken(context), token))
      return context.json({ error: 'The bearer token is wrong.' }, 401)
    return context.json(await files())
  })
  if (options.statusToken) app.use(demanded(options.statusToken))
  app.get('/', async (context) => context.html(overviewPage(await status.overview())))
  app.get('/jobs/:id', async (context) => {
    const job = await status.job(context.req.param('id'))
    return job ? context.html(jobPage(job)) : context.text('There is no such training.', 404)
  })
  app.get('/jobs/:id/model', async (context) =>
    redirect(context, await status.link(context.req.param('id'), 'model')),
  )
  app.get('/jobs/:id/samples/:number', async (context) => {
    const sample = Number(context.req.param('number'))
    return redirect(context, await status.link(context.req.param('id'), { sample }))
  })
  app.get('/api/status', async (context) => context.json(await status.overview()))
  app.get('/api/jobs/:id', async (context) => {
    const job = await status.job(context.req.param('id'))
    return job ? context.json(job) : context.json({ error: 'There is no such training.' }, 404)
  })
  app.get('/metrics', async (context) =>
    context.text(await metrics.metrics(), 200, { 'Content-Type': metrics.contentType }),
  )
  app.onError((error, context) => {
    complain(inspect(error))
    return context.text('The database did not answer. Please try again.', 503)
  })
  return app
}

/** No third-party content, no framing, no caching. TLS, and what follows from it, is the proxy's. */
const headers = secureHeaders({
  contentSecurityPolicy: {
    defaultSrc: ["'none'"],
    styleSrc: ["'unsafe-inline'"],
    imgSrc: ['https:', 'http:'],
    baseUri: ["'none'"],
    formAction: ["'none'"],
    frameAncestors: ["'none'"],
  },
  xFrameOptions: 'DENY',
  referrerPolicy: 'no-referrer',
  strictTransportSecurity: false,
})

function knownHost(allowed: ReadonlySet<string>): MiddlewareHandler {
  return async (context, next) => {
    const name = hostName(context.req.header('Host'))
    if (name !== undefined && allowed.has(name)) return next()
    return context.text('Nothing is served by this name: BELLOWS_HOST_NAMES lists those that are.', 421)
  }
}

function redirect(context: Context, link: string | undefined): Response {
  context.header('Cache-Control', 'no-store')
  return link ? context.redirect(link) : context.text('There is no such file.', 404)
}

/** As a bearer token, or as the password that a browser asks for; the user name beside it is ignored. */
function demanded(token: Secret): MiddlewareHandler {
  return async (context, next) => {
    context.header('Cache-Control', 'no-store')
    if (isSecret(shownToken(context), token)) return next()
    context.header('WWW-Authenticate', 'Basic realm="Bellows", charset="UTF-8"')
    return context.text('This page wants its token (BELLOWS_STATUS_TOKEN), as password or bearer token.', 401)
  }
}

function shownToken(context: Context): string {
  const [, scheme = '', value = ''] = /^(\w+) +(\S+)$/.exec(context.req.header('Authorization') ?? '') ?? []
  if (scheme.toLowerCase() === 'bearer') return value
  if (scheme.toLowerCase() !== 'basic') return ''
  return Buffer.from(value, 'base64')
    .toString()
    .replace(/^[^:]*:/, '')
}
