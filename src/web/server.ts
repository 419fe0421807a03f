/** The worker's small web server: a status page, JSON, metrics, and the list that `bellows sync` asks for. */
import { timingSafeEqual } from 'node:crypto'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import type { Registry } from 'prom-client'
import type { PublishedFile } from '../models/comfyui.ts'
import type { Secret } from '../secret.ts'
import { jobPage, overviewPage } from './pages.ts'
import type { Status } from './status.ts'

export type WebOptions = {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
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

export function routes({ status, metrics, files, token }: Omit<WebOptions, 'host' | 'port'>): Hono {
  const app = new Hono()
  app.use(async (context, next) => {
    await next()
    context.header(
      'Content-Security-Policy',
      "default-src 'none'; style-src 'unsafe-inline'; img-src https: http:",
    )
    context.header('X-Content-Type-Options', 'nosniff')
    context.header('Referrer-Policy', 'no-referrer')
  })
  app.get('/', async (context) => context.html(overviewPage(await status.overview())))
  app.get('/jobs/:id', async (context) => {
    const job = await status.job(context.req.param('id'))
    return job ? context.html(jobPage(job)) : context.text('There is no such training.', 404)
  })
  app.get('/api/status', async (context) => context.json(await status.overview()))
  app.get('/api/jobs/:id', async (context) => {
    const job = await status.job(context.req.param('id'))
    return job ? context.json(job) : context.json({ error: 'There is no such training.' }, 404)
  })
  app.get('/healthz', (context) => {
    const health = status.health()
    return context.json(health, health.healthy ? 200 : 503)
  })
  app.get('/metrics', async (context) =>
    context.text(await metrics.metrics(), 200, { 'Content-Type': metrics.contentType }),
  )
  app.get('/comfyui/files', async (context) => {
    if (!files || !token) return context.json({ error: 'This worker serves no files to ComfyUI.' }, 404)
    const shown = context.req.header('Authorization')?.replace(/^Bearer /, '') ?? ''
    if (!equal(shown, token.reveal())) return context.json({ error: 'The bearer token is wrong.' }, 401)
    return context.json(await files())
  })
  app.onError((error, context) => {
    console.error(error)
    return context.text('The database did not answer. Please try again.', 503)
  })
  return app
}

function equal(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)]
  return a.length === b.length && timingSafeEqual(a, b)
}
